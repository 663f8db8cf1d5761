"""The lookup one would write in a minute: FastAPI, one Redis GET, nobody asked who they are. A peer, run as a process."""

import sys

import uvicorn
from fastapi import FastAPI
from redis.asyncio import Redis
from starlette.responses import Response

KEY = "bench:bare"


def main(redis_url: str, port: int) -> None:
    """Serve until told to stop."""
    app = FastAPI()
    redis = Redis.from_url(redis_url)

    @app.get("/healthz")
    async def healthz() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/insights/{name}")
    async def lookup(name: str) -> Response:
        return Response(await redis.get(KEY), media_type="application/json")

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

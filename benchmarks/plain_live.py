"""The stream one would write in an afternoon: FastAPI, and a Redis subscription for each. The peer of `live`, run as a process.

It keeps nothing: what is published while a reader is away, or while Redis is, is lost.
"""

import sys
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from redis.asyncio import Redis

CHANNEL = "plain-live"


def main(url: str, port: int) -> None:
    """Serve until told to stop."""
    redis = Redis.from_url(url, max_connections=1000)
    app = FastAPI()

    @app.get("/healthz")
    def healthz() -> dict[str, bool]:
        return {"ok": True}

    async def events() -> AsyncIterator[bytes]:
        async with redis.pubsub() as pubsub:
            await pubsub.subscribe(CHANNEL)
            yield b"event: cursor\ndata: {}\n\n"
            async for message in pubsub.listen():
                if message["type"] == "message":
                    yield b"event: insight\ndata: " + message["data"] + b"\n\n"

    @app.get("/v1/live")
    async def live() -> StreamingResponse:
        return StreamingResponse(events(), media_type="text/event-stream")

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical", access_log=False, timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

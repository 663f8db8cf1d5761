"""uvicorn's server, which ends event streams before it waits for connections to end: they would not, by themselves."""

import socket

import uvicorn


class Server(uvicorn.Server):
    """Serves an application of `create_app`."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, end the streams, finish what is under way."""
        hub = getattr(getattr(self.config.app, "state", None), "live", None)
        if hub is not None:
            hub.end_all()
        await super().shutdown(sockets)

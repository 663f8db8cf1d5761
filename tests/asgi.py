"""Requests to an application inside the test's process: no port, no thread, no network."""

import asyncio
from typing import Any

import httpx
from fastapi import FastAPI


class Direct:
    """One application, asked directly; each request in an event loop of its own."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    def request(self, method: str, url: str, **how: Any) -> httpx.Response:
        """The answer; what the application raises is raised here."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, url, **how)

        return asyncio.run(ask())

    def get(self, url: str, **how: Any) -> httpx.Response:
        """GET."""
        return self.request("GET", url, **how)

    def put(self, url: str, **how: Any) -> httpx.Response:
        """PUT."""
        return self.request("PUT", url, **how)

    def post(self, url: str, **how: Any) -> httpx.Response:
        """POST."""
        return self.request("POST", url, **how)

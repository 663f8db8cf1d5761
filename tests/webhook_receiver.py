"""A webhook receiver for tests, as an ASGI application, and insights to send to it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from integrator.steps.publish import publish
from integrator.steps.services import Services
from tests.publishing import prediction, put_scored


@dataclass
class Receiver:
    """Answers what it is told to and keeps what it got."""

    status: int = 204
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    before: Callable[[], None] | None = None
    url: str = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":  # the sender died in the middle of it
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.got.append(({key.decode(): value.decode() for key, value in scope["headers"]}, body))
        if self.before is not None:
            self.before()
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": b"" if self.status == 204 else self.body})


def put_out(
    services: Services, *subjects: str, partner: str = "alpha", position: int = 10, value: float = 900.0,
    use_case: str = "attendance", **changes: Any,
) -> None:  # fmt: skip
    """Score and publish these subjects, and nothing else, of a use case."""
    made = [prediction(subject, value, **changes) for subject in subjects]
    put_scored(services, partner, made, position=position, at=services.clock(), use_case=use_case)
    publish(services, partner, use_case, run_id=f"run-{position}")

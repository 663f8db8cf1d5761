"""A webhook receiver for the benchmarks: `python -m benchmarks.receiver PORT`. It verifies, counts, and answers 204.

As plain as a receiver can be, so that it is not what is measured: one process, no framework, connections kept alive.
`GET` answers how many requests came and how many different messages were among them; `PUT` of a path takes the secret
of what is posted there, and counts from nothing.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import sys

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


class Receiver(asyncio.Protocol):
    """One connection; what is known is the class's own."""

    keys: dict[bytes, bytes] = {}  # noqa: RUF012  # all connections count together
    requests = 0
    known: set[bytes] = set()  # noqa: RUF012

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A sender is there."""
        self.transport, self.data = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head = self.data[:end]
            lines = head.split(b"\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines[1:])}
            size = end + 4 + int(headers.get(b"content-length", b"0"))
            if len(self.data) < size:
                return
            body, self.data = self.data[end + 4 : size], self.data[size:]
            self.transport.write(self._answer(lines[0], headers, body))  # type: ignore[attr-defined]

    def _answer(self, line: bytes, headers: dict[bytes, bytes], body: bytes) -> bytes:
        path = line.split(b" ")[1]
        if line.startswith(b"GET"):
            text = json.dumps({"requests": Receiver.requests, "messages": len(Receiver.known)}).encode()
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)
        if line.startswith(b"PUT"):
            Receiver.keys[path] = base64.b64decode(body.removeprefix(b"whsec_"))
            Receiver.requests, Receiver.known = 0, set()
            return NO_CONTENT
        message = headers[b"webhook-id"]
        signed = b".".join((message, headers[b"webhook-timestamp"], body))
        wanted = b"v1," + base64.b64encode(hmac.new(Receiver.keys[path], signed, hashlib.sha256).digest())
        if wanted not in headers[b"webhook-signature"].split(b" "):
            return REFUSED
        Receiver.requests += 1
        Receiver.known.add(message)
        return NO_CONTENT


async def main(port: int) -> None:
    """Serve until told to stop."""
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))

"""Small JSON bodies of the routes that administer, read into a typed shape; records come in through `bodies`."""

from typing import Any, TypeVar

import msgspec
from fastapi import Request

from integrator.contracts.errors import InvalidInput

LARGEST_BODY = 64 * 1024
T = TypeVar("T")


async def read(request: Request, kind: type[T]) -> T:
    """The body as `kind`; `InvalidInput` says what is wrong with it, and never repeats a value."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise InvalidInput(f"the body is larger than {LARGEST_BODY} bytes")
    try:
        found = msgspec.json.decode(bytes(body), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the body is not what is expected: {error}") from error
    if any(not _is_plain(text) for text in _texts(msgspec.to_builtins(found))):
        raise InvalidInput("the body holds characters that cannot be stored or sent")
    return found


def described(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """What the OpenAPI document says of such a body."""
    schema = msgspec.json.schema_components([kind], ref_template="#/components/schemas/{name}")[1][kind.__name__]
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for key, one in value.items() for text in (key, *_texts(one))]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, str) else []


def _is_plain(text: str) -> bool:
    return text.isprintable() and not any(0xD800 <= ord(letter) < 0xE000 for letter in text)

"""What of a receiver's answer is kept in the log of attempts: its beginning, with what looks personal taken out."""

import re

LONGEST = 2_048
GONE = "[removed]"
E_MAIL = re.compile(r"[^\s@<>\",;:=()\[\]{}]{1,64}@[^\s@<>\"',;:=()\[\]{}]{0,190}", re.ASCII)
# Nine digits and more, written together or in groups: a telephone number, a card, an account.
NUMBER = re.compile(r"\+?\d(?:[ ()./-]{0,2}\d){8,}")


def shown(body: bytes) -> str | None:
    """At most 2,048 bytes of text; None when there was none. What is no text is shown as a mark."""
    text = body[:LONGEST].decode("utf-8", "replace").replace("\x00", "\ufffd").strip()
    text = NUMBER.sub(GONE, E_MAIL.sub(GONE, text))
    return text.encode()[:LONGEST].decode("utf-8", "ignore") or None

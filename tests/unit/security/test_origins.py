"""What counts as the origin of a page: exactly what browsers send, https, http on loopback; never `*`, never `null`."""

import pytest

from integrator.contracts.errors import InvalidInput
from integrator.security.origins import origin_of


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.acme.example", "https://acme.example:8443", "https://xn--bcher-kva.example", "https://192.0.2.7",
        "https://[2001:db8::1]", "https://[2001:db8::1]:444", "http://localhost", "http://localhost:3000",
        "http://127.0.0.1:8090", "http://127.8.9.1:1", "http://[::1]:5173", "https://a", "https://a-b.c1",
    ],
)  # fmt: skip
def test_origins_as_browsers_send_them(origin: str) -> None:
    assert origin_of(origin) == origin


@pytest.mark.parametrize(
    "text",
    [
        "*", "null", "", " ", "https://", "https://*", "https://*.acme.example", "http://acme.example", "http://10.0.0.1",
        "https://Acme.example", "HTTPS://acme.example", "https://acme.example/", "https://acme.example/path",
        "https://acme.example?x", "https://acme.example#x", "https://user@acme.example", "https://acme.example:443",
        "http://localhost:80", "https://acme.example:0", "https://acme.example:99999", "https://acme.example:", "//acme.example",
        "https://acme.example:x", "https://bücher.example", "https://acme.example,https://evil.example", "file://", "data:x",
        "https://acme.example https://evil.example", "https://acme.example\n", "https://acme.example\x00", "https://-a.example",
        "https://a..b", "https://acme.example.", "http://localhost.evil.example", "http://127.0.0.1.evil.example",
        "https://[2001:DB8::1]", "https://[::1", "https://0x7f.1:1/", "https://acme_1.example", "https://" + "a." * 130 + "a",
        "chrome-extension://abcdef", "ftp://localhost", "https://acme.example\\", "https://%61cme.example",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(InvalidInput, match="allowed: https://host"):
        origin_of(text)

"""Definitions: what a file may say of a platform, and where it may not lead."""

from pathlib import Path

import pytest

from integrator.contracts.errors import InvalidInput
from integrator.platforms.declarative.definition import SAID, load_definition

EXAMPLES = sorted((Path(__file__).resolve().parents[3] / "docs" / "guides" / "examples").glob("*.yaml"))
LEAST = """platform: shop
base_url: https://api.example.com
authentication: {type: bearer}
streams:
  orders:
    path: /orders
    record: {kind: sale, fields: {native_id: $.id}}
"""


def changed(old: str, new: str) -> str:
    """The least definition with something else in it."""
    assert old in LEAST
    return LEAST.replace(old, new, 1)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_good(path: Path) -> None:
    definition = load_definition(path.read_bytes(), name=path.name)
    assert definition.streams
    assert definition.credentials


def test_the_least_definition_reads_one_answer_whole() -> None:
    definition = load_definition(LEAST, name="shop.yaml")
    (stream,) = definition.of_kind("sale")
    assert definition.of_kind("event") == ()
    assert (stream.paging.type, stream.incremental, stream.records.text) == ("none", None, "$")
    assert definition.credentials == ("token",)
    assert definition.title == "shop"


@pytest.mark.parametrize("keys", SAID, ids=lambda keys: keys.__name__)
def test_every_key_is_described(keys: type) -> None:
    assert set(SAID[keys]) == set(keys.__struct_fields__)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "address",
    ["http://api.example.com", "ftp://api.example.com", "https://", "//api.example.com", "file:///etc/passwd",
     "https://user:word@api.example.com", "https://api.example.com?x=1", "https://api.example.com#a",
     "https://api.example.com/../x", "https://api.example.com/%2e%2E/x", "https://api.exa mple.com",
     '"https://api.example.com\\r\\nX: 1"', "https://api.example.com:port", "javascript:alert(1)"],
)  # fmt: skip
def test_addresses_are_https_and_plain(address: str) -> None:
    with pytest.raises(InvalidInput, match=r"shop.yaml:2: base_url .* allowed: an https address"):
        load_definition(changed("https://api.example.com", address), name="shop.yaml")


@pytest.mark.parametrize("address", ["http://127.0.0.1:8100/x", "http://localhost:1", "https://[2001:db8::1]/v1"])
def test_loopback_may_be_plain(address: str) -> None:
    text = changed("https://api.example.com", f'"{address}"')
    assert load_definition(text, name="x").base_url == address


@pytest.mark.parametrize(
    "path", ["orders", "//evil.example/orders", "/../orders", "/a/%2e./b", "/a/..%2fb", "/orders?x=1", "/orders#x", "/a b",
             '"/a\\n"', "https://evil.example/", "/{shop}", "/{", "/a\\\\b"],
)  # fmt: skip
def test_paths_stay_below_the_address(path: str) -> None:
    with pytest.raises(InvalidInput, match="shop.yaml:6: streams.orders.path"):
        load_definition(
            changed("path: /orders", f"path: '{path}'" if '"' not in path else f"path: {path}"), name="shop.yaml"
        )


@pytest.mark.parametrize(
    "header",
    ["Host: x", "authorization: x", "Cookie: a", "Content-Length: '1'", "Transfer-Encoding: chunked", "X-Forwarded-For: x",
     '"X: 1\\r\\nY": z', 'X-A: "1\\r\\nX-Evil: 2"', "'X A': b", "X-A: ü"],
)  # fmt: skip
def test_headers_that_decide_where_and_as_whom_are_refused(header: str) -> None:
    with pytest.raises(InvalidInput, match="shop.yaml:1: headers"):
        load_definition(f"headers: {{{header}}}\n{LEAST}", name="shop.yaml")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("platform: shop", "platform: Shop", "shop.yaml:1: platform 'Shop'"),
        ("platform: shop", "plattform: shop", "shop.yaml:1: plattform 'plattform' is not allowed; allowed: platform"),
        ("platform: shop\n", "", "missing required field `platform`"),
        ("bearer", "digest", "shop.yaml:3: authentication: Invalid enum value 'digest'"),
        ("{type: bearer}", "{type: header}", "shop.yaml:3: authentication.name None is not allowed"),
        ("{type: bearer}", "{type: header, name: Host}", "authentication.name 'Host'"),
        ("{type: bearer}", '{type: header, name: X, before: "a\\nb"}', "no line breaks"),
        ("{type: bearer}", "{type: client_credentials}", "authentication.token_url"),
        ("{type: bearer}", "{type: client_credentials, token_url: http://x.example/t}", "authentication.token_url"),
        ("{type: bearer}", "{type: refresh_token, token_url: /../t}", "authentication.token_url"),
        ("{type: bearer}", "{type: bearer, token: secret}", "authentication.token 'token' is not allowed"),
        ("path: /orders", "path: /orders\n    paging: {type: page}", "shop.yaml:7: streams.orders.paging.param"),
        ("path: /orders", "path: /orders\n    paging: {type: cursor, param: a}", "streams.orders.paging.next"),
        ("path: /orders", "path: /orders\n    paging: {type: page, param: a, size: 0}", "paging.size 0"),
        ("path: /orders", "path: /orders\n    paging: {type: next_link, next: $.[}", "shop.yaml:7"),
        ("path: /orders", "path: /orders\n    incremental: {param: a}", "missing required field `field`"),
        ("path: /orders", "path: /orders\n    incremental: {param: a, field: $.b, overlap: -1}", "overlap -1"),
        ("path: /orders", "path: /orders\n    records: $.a[*]", "without [*]"),
        ("path: /orders", "path: /orders\n    params: {a: '{shop}'}", "streams.orders.params.a 'shop'"),
        ("path: /orders", "path: /orders\n    params: {a: [1]}", "Expected `bool | int | str`"),
        ("native_id", "id", "shop.yaml:7: streams.orders.record.fields.id"),
        ("orders:", "Orders!:", "streams.Orders!"),
        ("base_url", "settings: [definition]\nbase_url", "shop.yaml:2: settings[0] 'definition'"),
        ("base_url", "settings: [a1, a1]\nbase_url", "settings[1] 'a1'"),
        ("base_url", "rate_limit: {requests: 0}\nbase_url", "rate_limit"),
        ("base_url", "rate_limit: {requests: 1, seconds: 9999}\nbase_url", "rate_limit"),
    ],
)
def test_a_bad_definition_is_refused_with_line_and_what_is_allowed(old: str, new: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_definition(changed(old, new), name="shop.yaml")
    assert said in str(caught.value)


def test_streams_are_bounded() -> None:
    one = "    path: /orders\n    record: {kind: sale, fields: {native_id: $.id}}\n"
    head = LEAST[: LEAST.index("  orders:")]
    load_definition(head + "".join(f"  s{n}:\n{one}" for n in range(10)), name="x")
    for number in (0, 11):
        streams = "".join(f"  s{n}:\n{one}" for n in range(number)) or "  {}\n"
        with pytest.raises(InvalidInput, match="1 to 10 streams"):
            load_definition(head + streams, name="x")

"""Mutual TLS over real connections: a certificate maps to its client, its tokens are good over that connection alone;
behind a proxy, the header of a trusted one is believed and a spoofed one is not.
"""

import base64
import ssl
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from cryptography import x509

from integrator.contracts.errors import InvalidInput
from integrator.security import certificates, clients
from integrator.security.clients import NewClient
from integrator.steps.services import Services
from integrator_realtime.app import create_app
from integrator_realtime.protocol import Protocol
from integrator_realtime.tls import Certificates, server_options
from tests.certificates import Authority, der_of
from tests.serving import serving

FORM = {"grant_type": "client_credentials"}
PAGE = "/v1/insights"
Pair = tuple[Path, Path]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pairs(authority: Authority) -> dict[str, Pair]:
    names = {
        "crm": [x509.DNSName("crm.acme.example")], "erp": [x509.UniformResourceIdentifier("spiffe://acme/erp")],
        "plain": [],
    }  # fmt: skip
    return {name: authority.issue(name, *alternative) for name, alternative in names.items()}


@pytest.fixture(scope="module")
def secured(services: Services, authority: Authority) -> Services:
    certificate, key = authority.issue("server", x509.IPAddress(IPv4Address("127.0.0.1")))
    files = {"tls_cert": certificate, "tls_key": key, "tls_client_ca": authority.path}
    settings = services.settings.model_copy(update=files)
    return Services(settings, services.database, services.redis_url, services.clock)


@pytest.fixture(scope="module")
def url(secured: Services) -> Iterator[str]:
    with serving(create_app(secured), **server_options(secured.settings)) as address:
        yield address


def connected(url: str, authority: Authority, pair: Pair | None = None) -> httpx.Client:
    context = ssl.create_default_context(cafile=str(authority.path))
    if pair is not None:
        context.load_cert_chain(*pair)
    return httpx.Client(base_url=url, verify=context)


def registered(services: Services, named: str, partner: str = "alpha") -> NewClient:
    public = certificates.registered(named)
    now = services.clock()
    return clients.create(services.database, partner, "insights:read", now, method="tls_client_auth", public=public)


def login(http: httpx.Client, client: NewClient) -> httpx.Response:
    return http.post("/oauth/token", data={**FORM, "client_id": client.client_id})


def bearer(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.mark.parametrize(
    ("pair", "form"),
    [("crm", "dns:crm.acme.example"), ("erp", "uri:spiffe://acme/erp"), ("plain", "subject:CN=plain"), ("plain", "")],
)
def test_a_certificate_is_its_clients(
    url: str, secured: Services, authority: Authority, pairs: dict[str, Pair], pair: str, form: str
) -> None:
    client = registered(secured, form or pairs[pair][0].read_text())
    with connected(url, authority, pairs[pair]) as http:
        header = bearer(login(http, client))
        assert http.get(PAGE, headers=header).status_code == 200
    other = "crm" if pair != "crm" else "erp"
    for stranger in (pairs[other], None):
        with connected(url, authority, stranger) as http:
            assert login(http, client).json()["error"] == "invalid_client"
            answer = http.get(PAGE, headers=header)
            assert answer.status_code == 401 and "another certificate" in answer.json()["detail"]


def test_the_token_says_what_it_is_bound_to(
    url: str, secured: Services, authority: Authority, pairs: dict[str, Pair]
) -> None:
    client = registered(secured, "dns:crm.acme.example")
    with connected(url, authority, pairs["crm"]) as http:
        token = login(http, client).json()["access_token"]
        found = http.post("/oauth/introspect", data={"client_id": client.client_id, "token": token}).json()
        metadata = http.get("/.well-known/oauth-authorization-server").json()
    assert found["cnf"] == {"x5t#S256": certificates.thumbprint(der_of(pairs["crm"][0]))}
    assert metadata["tls_client_certificate_bound_access_tokens"] is True
    assert "tls_client_auth" in metadata["token_endpoint_auth_methods_supported"]


def test_a_certificate_is_optional_and_secrets_go_on(
    url: str, secured: Services, authority: Authority, pairs: dict[str, Pair]
) -> None:
    secret = clients.create(secured.database, "alpha", "insights:read", secured.clock())
    for pair in (None, pairs["crm"]):
        with connected(url, authority, pair) as http:
            answer = http.post("/oauth/token", data=FORM, auth=(secret.client_id, secret.client_secret))
            assert http.get(PAGE, headers=bearer(answer)).status_code == 200


def test_a_certificate_of_another_authority_or_time_ends_the_handshake(
    url: str, authority: Authority, tmp_path: Path
) -> None:
    forged = Authority(tmp_path, "Test CA").issue("crm", x509.DNSName("crm.acme.example"))
    for pair in (forged, authority.issue("late", expired=True)):
        with connected(url, authority, pair) as http, pytest.raises(httpx.TransportError):
            http.get("/healthz")


def test_a_certificate_is_no_pass_to_other_clients(
    url: str, secured: Services, authority: Authority, pairs: dict[str, Pair]
) -> None:
    secret = clients.create(secured.database, "alpha", "insights:read", secured.clock())
    theirs = registered(secured, "dns:crm.beta.example", "beta")
    with connected(url, authority, pairs["crm"]) as http:
        for client in (secret, theirs):
            assert login(http, client).status_code == 401
        assert http.post("/oauth/token", data=FORM).status_code == 401


def test_rotation_of_the_certificate_overlaps(
    url: str, secured: Services, authority: Authority, pairs: dict[str, Pair]
) -> None:
    client = registered(secured, "dns:crm.acme.example")
    public, now = certificates.registered("uri:spiffe://acme/erp"), secured.clock()
    for overlap, status in ((timedelta(hours=1), 200), (timedelta(0), 401)):
        clients.rotate(secured.database, "alpha", client.client_id, now, public=public, overlap=overlap)
        with connected(url, authority, pairs["erp"]) as http:
            assert login(http, client).status_code == 200
        with connected(url, authority, pairs["crm"]) as http:
            assert login(http, client).status_code == status


def test_a_header_is_nothing_from_somebody_who_is_no_proxy(
    url: str, secured: Services, authority: Authority, pairs: dict[str, Pair]
) -> None:
    client = registered(secured, "dns:crm.acme.example")
    spoofed = {"Client-Cert": as_rfc9440(pairs["crm"][0]), "X-Forwarded-For": "10.0.0.1"}
    with connected(url, authority) as http:
        answer = http.post("/oauth/token", data={**FORM, "client_id": client.client_id}, headers=spoofed)
        assert answer.status_code == 401
    with connected(url, authority, pairs["crm"]) as http:
        header = bearer(login(http, client))
    with connected(url, authority) as http:
        assert http.get(PAGE, headers={**header, **spoofed}).status_code == 401


# --- behind a proxy ---------------------------------------------------------------------------------------------------


def as_rfc9440(path: Path) -> str:
    return f":{base64.b64encode(der_of(path)).decode()}:"


@pytest.mark.parametrize("proxies", ["127.0.0.0/8", "10.0.0.0/8, ::1/128", ""])
def test_only_a_trusted_proxys_header_counts(services: Services, pairs: dict[str, Pair], proxies: str) -> None:
    settings = services.settings.model_copy(update={"trusted_proxies": proxies})
    behind = Services(settings, services.database, services.redis_url, services.clock)
    client = registered(services, "dns:crm.acme.example")
    trusted = proxies.startswith("127")
    with serving(create_app(behind), proxy_headers=False) as url, httpx.Client(base_url=url) as http:
        for value in (as_rfc9440(pairs["crm"][0]), quote(pairs["crm"][0].read_text())):
            header = {"Client-Cert": value}
            answer = http.post("/oauth/token", data={**FORM, "client_id": client.client_id}, headers=header)
            assert answer.status_code == (200 if trusted else 401)
        if not trusted:
            return
        bound = bearer(answer)
        assert http.get(PAGE, headers={**bound, **header}).status_code == 200
        other = {"Client-Cert": as_rfc9440(pairs["erp"][0])}
        for wrong in ({}, other, {"Client-Cert": ":AAAA:"}, {"Client-Cert": "rubbish"}, {"Client-Cert": ":"}):
            assert http.get(PAGE, headers={**bound, **wrong}).status_code == 401, wrong
        twice = [*{**bound, **header}.items(), *other.items()]
        assert http.get(PAGE, headers=twice).status_code == 401, "a proxy that adds and does not replace"
        broken = {"Client-Cert": "rubbish"}
        assert http.post("/oauth/token", data={**FORM, "client_id": "x"}, headers=broken).status_code == 401


# --- settings ---------------------------------------------------------------------------------------------------------


def test_half_a_setting_is_named(services: Services, authority: Authority, tmp_path: Path) -> None:
    plain = services.settings
    assert server_options(plain) == {"http": Protocol}
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    certificate, key = authority.issue("half", x509.DNSName("half.example"))
    for changed, named in (
        ({"tls_cert": text, "tls_key": text}, "TLS_CERT '.*text.* is not allowed; allowed: a certificate and its key"),
        ({"tls_cert": certificate, "tls_key": key, "tls_client_ca": text}, "TLS_CLIENT_CA"),
        ({"tls_client_ca": authority.path}, "INTEGRATOR_TLS_CERT"), ({"tls_key": authority.path}, "INTEGRATOR_TLS_CERT"),
        ({"tls_cert": tmp_path / "none.pem"}, "INTEGRATOR_TLS_CERT"), ({"trusted_proxies": "10.0.0.0/99"}, "PROXIES"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match=named):
            server_options(plain.model_copy(update=changed))
    assert Certificates(plain).possible is False


@pytest.mark.parametrize("named", ["crm", "dns:", "email:a@b", "subject:not a name", "thumbprint:short", ""])
def test_other_names_of_certificates_are_refused(named: str) -> None:
    with pytest.raises(InvalidInput):
        certificates.registered(named)

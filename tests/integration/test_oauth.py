"""OAuth beyond the secret: signed assertions, introspection, metadata, rotation; and what an attacker tries."""

import base64
import json
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from integrator.contracts.errors import InvalidInput
from integrator.security import assertions, clients, keys
from integrator.security.clients import NewClient
from integrator.security.scopes import SCOPES
from integrator.steps.services import Services
from integrator.storage import clients as stored
from integrator_realtime.app import create_app
from tests.serving import serving

ISSUER = "https://api.example"
GRANT = {"grant_type": "client_credentials", "client_assertion_type": assertions.TYPE}


@pytest.fixture(scope="module")
def http(services: Services) -> Iterator[httpx.Client]:
    with serving(create_app(services, issuer=ISSUER)) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture(scope="module")
def secret(services: Services) -> NewClient:
    return clients.create(services.database, "alpha", "insights:read quality:read", services.clock())


@pytest.fixture(scope="module")
def elliptic() -> ECKey:
    return ECKey.generate_key("P-256", {"kid": "mine"})


@pytest.fixture(scope="module")
def signer(services: Services, elliptic: ECKey) -> NewClient:
    return jwt_client(services, elliptic)


def jwt_client(services: Services, *signing: ECKey | RSAKey, partner: str = "alpha") -> NewClient:
    public = assertions.registered(json.dumps({"keys": [key.as_dict(private=False) for key in signing]}))
    now = services.clock()
    return clients.create(services.database, partner, "insights:read", now, method="private_key_jwt", public=public)


def claims(client_id: str, now: datetime, **changes: Any) -> dict[str, Any]:
    good = {
        "iss": client_id, "sub": client_id, "aud": f"{ISSUER}/oauth/token", "jti": secrets.token_hex(8),
        "exp": int(now.timestamp()) + 120,
    }  # fmt: skip
    return {key: value for key, value in {**good, **changes}.items() if value is not ...}


def ask(http: httpx.Client, assertion: str, **more: str) -> httpx.Response:
    return http.post("/oauth/token", data={**GRANT, "client_assertion": assertion, **more})


def signed(key: Any, facts: dict[str, Any], alg: str = "ES256", **head: Any) -> str:
    return jwt.encode({"alg": alg, **head}, facts, key, algorithms=[alg])


def refused(answer: httpx.Response) -> str:
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client"), answer.text
    return str(answer.json()["error_description"])


# --- private_key_jwt --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("audience", [ISSUER, f"{ISSUER}/oauth/token", [ISSUER, "x"]])
def test_a_signed_assertion_gives_a_token(
    http: httpx.Client, services: Services, signer: NewClient, elliptic: ECKey, audience: Any
) -> None:
    facts = claims(signer.client_id, services.clock(), aud=audience)
    answer = ask(http, signed(elliptic, facts, kid="mine", typ="JWT"))
    assert answer.status_code == 200, answer.text
    header = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert http.get("/v1/insights", headers=header).status_code == 200
    assert http.get("/v1/readiness", headers=header).status_code == 403


def test_rsa_and_the_client_id_beside_it(http: httpx.Client, services: Services) -> None:
    key = RSAKey.generate_key(2048)
    client = jwt_client(services, key)
    facts = claims(client.client_id, services.clock())
    assert ask(http, signed(key, facts, "RS256"), client_id=client.client_id).status_code == 200
    facts = claims(client.client_id, services.clock())
    refused(ask(http, signed(key, facts, "RS256"), client_id="icl_other"))


def test_a_key_registered_without_a_name_takes_any(http: httpx.Client, services: Services) -> None:
    key = ECKey.generate_key("P-256", auto_kid=False)
    client = jwt_client(services, key)
    for head in ({}, {"kid": "whatever"}):
        assert ask(http, signed(key, claims(client.client_id, services.clock()), **head)).status_code == 200


def test_an_assertion_is_good_once(http: httpx.Client, services: Services, signer: NewClient, elliptic: ECKey) -> None:
    facts = claims(signer.client_id, services.clock())
    first = signed(elliptic, facts)
    assert ask(http, first).status_code == 200
    assert "used before" in refused(ask(http, first))
    assert "used before" in refused(ask(http, signed(elliptic, {**facts, "exp": facts["exp"] + 1}))), "signed anew"
    now = services.clock()
    with services.database.partner("alpha") as connection:
        later = now + timedelta(hours=1)
        arguments = (connection, "alpha", signer.client_id, facts["jti"], later)
        assert stored.spend_assertion(*arguments, later), "forgotten once it has expired"
        assert not stored.spend_assertion(*arguments, later)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"aud": "https://other.example"}, "another audience"), ({"aud": ...}, "another audience"),
        ({"aud": [1, None]}, "another audience"), ({"aud": ISSUER + "/"}, "another audience"),
        ({"exp": ...}, "no time"), ({"exp": "soon"}, "no time"), ({"exp": 10**30}, "no time"),
        ({"jti": ...}, "needs a `jti`"), ({"jti": ""}, "needs a `jti`"), ({"jti": "x" * 257}, "needs a `jti`"),
        ({"jti": 7}, "needs a `jti`"), ({"jti": "a\x00b"}, "needs a `jti`"), ({"iss": "icl_other"}, "cannot be read"),
        ({"sub": ...}, "cannot be read"), ({"iss": ...}, "cannot be read"),
    ],
)  # fmt: skip
def test_other_claims(
    http: httpx.Client, services: Services, elliptic: ECKey, changes: dict[str, Any], reason: str
) -> None:
    client = jwt_client(services, elliptic)
    answer = ask(http, signed(elliptic, claims(client.client_id, services.clock(), **changes)))
    assert reason in refused(answer).replace("'", "`") or reason in refused(answer)


@pytest.mark.parametrize("seconds", [0, -1, 5 * 60 + 31, 3600])
def test_expired_or_living_too_long(http: httpx.Client, services: Services, elliptic: ECKey, seconds: int) -> None:
    client = jwt_client(services, elliptic)
    facts = claims(client.client_id, services.clock(), exp=int(services.clock().timestamp()) + seconds)
    assert "5 minutes" in refused(ask(http, signed(elliptic, facts)))


def test_forged_assertions(http: httpx.Client, services: Services, elliptic: ECKey) -> None:
    client, other = jwt_client(services, elliptic), ECKey.generate_key("P-256", {"kid": "mine"})
    rsa = RSAKey.generate_key(2048)
    facts = claims(client.client_id, services.clock())
    body = base64.urlsafe_b64encode(json.dumps(facts).encode()).decode().rstrip("=")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    shared = OctKey.import_key(json.dumps(dict(elliptic.as_dict(private=False))).encode())
    forged = [
        signed(other, facts, kid="mine"), signed(rsa, facts, "RS256"), signed(shared, facts, "HS256"),
        signed(elliptic, facts, kid="unknown"), signed(other, facts, jwk=other.as_dict(private=False)),
        f"{none}.{body}.", "", ".", "a.b.c", "é", "eyJ" * 1000, signed(elliptic, facts)[:-4] + "AAAA",
    ]  # fmt: skip
    for assertion in forged:
        answer = ask(http, assertion) if assertion else http.post("/oauth/token", data=GRANT)
        refused(answer)
    assert ask(http, signed(elliptic, facts)).status_code == 200, "the good one was not used up by any of them"


def test_nobody_speaks_for_another(http: httpx.Client, services: Services, secret: NewClient) -> None:
    mine, theirs = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
    client = jwt_client(services, mine, partner="beta")
    jwt_client(services, theirs)
    now = services.clock()
    said = {
        refused(ask(http, signed(theirs, claims(client.client_id, now)))),
        refused(ask(http, signed(mine, claims(secret.client_id, now)))),
        refused(ask(http, signed(mine, claims("icl_" + "0" * 24, now)))),
    }
    assert len(said) == 1, "unknown client, other key and other method are told alike"
    clients.revoke(services.database, "beta", client.client_id, now)
    assert {refused(ask(http, signed(mine, claims(client.client_id, now))))} == said


def test_rotating_the_public_key_overlaps(http: httpx.Client, services: Services) -> None:
    old, new = ECKey.generate_key("P-256", {"kid": "k"}), ECKey.generate_key("P-256", {"kid": "k"})
    client, now = jwt_client(services, old), services.clock()
    public = assertions.registered(json.dumps(new.as_dict(private=False)))
    made = clients.rotate(services.database, "alpha", client.client_id, now, public=public)
    assert made.shown() == {"client_id": client.client_id}
    assert [ask(http, signed(key, claims(client.client_id, now))).status_code for key in (old, new)] == [200, 200]
    clients.rotate(services.database, "alpha", client.client_id, now, public=public, overlap=timedelta(0))
    assert [ask(http, signed(key, claims(client.client_id, now))).status_code for key in (old, new)] == [401, 200]
    with pytest.raises(InvalidInput, match="--jwk FILE"):
        clients.rotate(services.database, "alpha", client.client_id, now)


def test_one_way_at_a_time(http: httpx.Client, services: Services, signer: NewClient, elliptic: ECKey) -> None:
    good = signed(elliptic, claims(signer.client_id, services.clock()))
    answer = ask(http, good, client_secret="x")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    answer = http.post("/oauth/token", data={**GRANT, "client_assertion": good}, auth=("a", "b"))
    assert answer.status_code == 400
    assert "client_assertion_type" in refused(ask(http, good, client_assertion_type="urn:x"))


# --- introspection, metadata, keys ------------------------------------------------------------------------------------


def token(http: httpx.Client, client: NewClient) -> str:
    form = {"grant_type": "client_credentials"}
    answer = http.post("/oauth/token", data=form, auth=(client.client_id, client.client_secret))
    return str(answer.json()["access_token"])


def introspected(http: httpx.Client, client: NewClient, text: str) -> dict[str, Any]:
    answer = http.post("/oauth/introspect", data={"token": text}, auth=(client.client_id, client.client_secret))
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    found: dict[str, Any] = answer.json()
    return found


def test_introspection_of_the_own_partners_alone(http: httpx.Client, services: Services, secret: NewClient) -> None:
    now = services.clock()
    sister = clients.create(services.database, "alpha", "insights:read", now)
    stranger = clients.create(services.database, "beta", "insights:read", now)
    key = clients.create(services.database, "alpha", "insights:read", now, method="api_key")
    text = token(http, secret)
    found = introspected(http, sister, text)
    assert found["active"] is True and found["scope"] == "insights:read quality:read"
    assert (found["client_id"], found["iss"], found["token_type"]) == (secret.client_id, ISSUER, "Bearer")
    assert found["exp"] == int(now.timestamp()) + 600
    assert introspected(http, sister, key.client_secret)["client_id"] == key.client_id
    for unknown in (text, key.client_secret, "rubbish", "iak_x"):
        assert introspected(http, stranger, unknown) == {"active": False}
    clients.revoke(services.database, "alpha", key.client_id, now)
    assert introspected(http, sister, key.client_secret) == {"active": False}
    http.post("/oauth/revoke", data={"token": text}, auth=(secret.client_id, secret.client_secret))
    assert introspected(http, sister, text) == {"active": False}


def test_introspection_wants_a_client_and_a_token(http: httpx.Client, secret: NewClient) -> None:
    assert http.post("/oauth/introspect", data={"token": "x"}).status_code == 401
    answer = http.post("/oauth/introspect", data={"a": "b"}, auth=(secret.client_id, secret.client_secret))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_metadata_is_complete(http: httpx.Client) -> None:
    found = http.get("/.well-known/oauth-authorization-server").json()
    assert found["issuer"] == ISSUER and found["scopes_supported"] == list(SCOPES)
    for name in ("token", "introspection", "revocation"):
        assert found[f"{name}_endpoint"].startswith(f"{ISSUER}/oauth/")
        assert "private_key_jwt" in found[f"{name}_endpoint_auth_methods_supported"]
        assert found[f"{name}_endpoint_auth_signing_alg_values_supported"] == ["ES256", "RS256"]
    assert found["tls_client_certificate_bound_access_tokens"] is False
    assert "tls_client_auth" not in found["token_endpoint_auth_methods_supported"]


def test_an_old_secret_is_good_while_it_overlaps(http: httpx.Client, services: Services) -> None:
    first = clients.create(services.database, "alpha", "insights:read", services.clock())
    second = clients.rotate(services.database, "alpha", first.client_id, services.clock(), overlap=timedelta(hours=1))
    assert token(http, first) and token(http, second)
    later = services.clock() + timedelta(hours=1)
    client = clients.find(services.database, first.client_id)
    assert clients.secret_matches(client, second.client_secret, later)
    assert not clients.secret_matches(client, first.client_secret, later)
    assert not clients.secret_matches(client, "", later) and not clients.secret_matches(None, "", later)


def test_a_token_ends_with_its_client(http: httpx.Client, services: Services) -> None:
    short = clients.create(
        services.database, "alpha", "insights:read", services.clock(), expires_in=timedelta(minutes=2)
    )
    form = {"grant_type": "client_credentials"}
    answer = http.post("/oauth/token", data=form, auth=(short.client_id, short.client_secret))
    assert answer.json()["expires_in"] == 120


def test_rotated_signing_keys_are_both_published_and_old_tokens_hold(services: Services, secret: NewClient) -> None:
    with serving(create_app(services, issuer=ISSUER)) as url, httpx.Client(base_url=url) as http:
        old = token(http, secret)
    kid = keys.rotate(services.database, services.database.master, services.clock())
    states = {row["kid"]: row["state"] for row in keys.list_all(services.database, services.clock())}
    assert states[kid] == "signing" and sorted(states.values()).count("signing") == 1
    with serving(create_app(services, issuer=ISSUER)) as url, httpx.Client(base_url=url) as http:
        assert {key["kid"] for key in http.get("/.well-known/jwks.json").json()["keys"]} == set(states)
        for text in (old, token(http, secret)):
            assert http.get("/v1/insights", headers={"Authorization": f"Bearer {text}"}).status_code == 200


def test_a_redis_that_was_lost_forgets_no_revocation(http: httpx.Client, services: Services) -> None:
    client = clients.create(services.database, "alpha", "insights:read", services.clock())
    gone, good = token(http, client), token(http, client)
    http.post("/oauth/revoke", data={"token": gone}, auth=(client.client_id, client.client_secret))
    for _ in range(2):
        services.cache.client.flushdb()
        found = [http.get("/v1/insights", headers={"Authorization": f"Bearer {text}"}) for text in (gone, good, gone)]
        assert [answer.status_code for answer in found] == [401, 200, 401]
    clients.revoke(services.database, "alpha", client.client_id, services.clock(), cache=services.cache)
    services.cache.client.flushdb()
    assert http.get("/v1/insights", headers={"Authorization": f"Bearer {good}"}).status_code == 401

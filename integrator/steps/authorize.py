"""OAuth's authorization-code flow (RFC 6749 §4.1) with PKCE (RFC 7636) and a state that is taken once.

`start` gives the address at which a partner's administrator lets us in; `finish` trades the code that comes back for
credentials, checks them and connects the account.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from integrator.contracts.errors import Forbidden, InvalidInput, Unauthorized, Unavailable, invalid
from integrator.platforms.base import OAuth, PlatformSpec
from integrator.platforms.http import Session, closing, decoded
from integrator.platforms.registry import PLATFORMS
from integrator.platforms.registry import spec as platform_spec
from integrator.steps import connections, ingest
from integrator.steps.connections import Actor
from integrator.steps.services import Services
from integrator.storage import authorization_flows, logs
from integrator.storage.partners import NAME

UNKNOWN_STATE = "this authorization was begun too long ago, was used already, or was never begun here; begin it again"


@dataclass(frozen=True)
class Asked:
    """What a partner wants to connect by being asked; `credentials` are the client's own."""

    platform: str
    connection_id: str | None
    settings: Mapping[str, Any]
    credentials: Mapping[str, str]
    allowed_attributes: Sequence[str] = ()


@dataclass(frozen=True)
class Connected:
    """What came of it: the partner's connection, and the permissions it lacks."""

    partner: str
    connection_id: str
    missing: list[str]


def start(services: Services, actor: Actor, asked: Asked, redirect_uri: str) -> str:
    """The address for the partner's administrator; good for ten minutes and one answer."""
    spec, oauth = _oauth(asked.platform)
    _require(spec, oauth, asked)
    verifier = secrets.token_urlsafe(64)
    facts = {
        "platform": asked.platform, "connection_id": asked.connection_id, "settings": dict(asked.settings),
        "credentials": dict(asked.credentials), "allowed_attributes": list(asked.allowed_attributes),
        "verifier": verifier, "redirect_uri": redirect_uri, "actor": actor.name,
    }  # fmt: skip
    now = services.clock()
    with services.database.partner(actor.partner) as connection:
        state = authorization_flows.begin(connection, services.database.master, actor.partner, facts, now)
        told = {"platform": asked.platform}
        subject = asked.connection_id or asked.platform
        logs.audit(connection, actor.name, actor.partner, "connection.authorize", subject, now, told)
    query = {
        "response_type": "code", "client_id": asked.credentials[oauth.client_fields[0]], "redirect_uri": redirect_uri,
        "state": state, "code_challenge": challenge(verifier), "code_challenge_method": "S256",
        **({"scope": oauth.scope_separator.join(oauth.scopes)} if oauth.scopes else {}),
        **({"optional_scope": oauth.scope_separator.join(oauth.optional_scopes)} if oauth.optional_scopes else {}),
    }  # fmt: skip
    address = _address(oauth.authorize, oauth, asked.settings)
    return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"


def finish(services: Services, state: str, code: str | None, error: str | None) -> Connected:
    """Take the answer that came back under `state`; `Unauthorized` for a state that does not hold."""
    partner = authorization_flows.partner_of(state)
    if not NAME.fullmatch(partner):
        raise Unauthorized(UNKNOWN_STATE)
    with services.database.partner(partner) as connection:
        facts = authorization_flows.take(connection, services.database.master, partner, state, services.clock())
    if facts is None:
        raise Unauthorized(UNKNOWN_STATE)
    if error or not code:
        raise Forbidden("the platform's administrator did not let us in")
    asked = Asked(
        facts["platform"], facts["connection_id"], facts["settings"], facts["credentials"], facts["allowed_attributes"]
    )
    answer = _trade(services, asked, code, facts["verifier"], facts["redirect_uri"])
    spec, oauth = _oauth(asked.platform)
    given = {**asked.credentials, **_picked(asked.platform, oauth.keeps, answer)}
    credentials = {name: value for name, value in given.items() if name in {*spec.credential_fields, *oauth.keeps}}
    settings = {**asked.settings, **_picked(asked.platform, oauth.learns, answer)}
    account = connections.account_of(
        partner, asked.platform, asked.connection_id, settings, credentials, asked.allowed_attributes
    )
    missing = connections.save(services, Actor(partner, facts["actor"]), account)
    return Connected(partner, account.connection_id, missing)


def challenge(verifier: str) -> str:
    """The S256 challenge of a PKCE verifier (RFC 7636 §4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _oauth(platform: str) -> tuple[PlatformSpec, OAuth]:
    spec = platform_spec(platform)
    if spec.oauth is None:
        raise invalid("platform to authorize", platform, (one.name for one in PLATFORMS if one.oauth is not None))
    return spec, spec.oauth


def _require(spec: PlatformSpec, oauth: OAuth, asked: Asked) -> None:
    """What the flow itself brings may be missing; all else has to be there and known."""
    known = {name: required and name not in oauth.learns for name, required in spec.setting_fields.items()}
    narrowed = PlatformSpec(spec.name, spec.title, spec.kinds, oauth.client_fields, known)
    narrowed.require(asked.settings, asked.credentials)


def _trade(services: Services, asked: Asked, code: str, verifier: str, redirect_uri: str) -> Mapping[str, Any]:
    """The token answer for a code."""
    _, oauth = _oauth(asked.platform)
    client_id, client_secret = (asked.credentials[name] for name in oauth.client_fields)
    form = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": verifier,
        "client_id": client_id, "client_secret": client_secret,
    }  # fmt: skip
    address = _address(oauth.token, oauth, asked.settings)
    with closing(Session(asked.platform, address, {}, ingest.policy(services))) as session:
        try:
            answer = decoded(asked.platform, session.post("", data=form))
        except InvalidInput as error:
            raise Unauthorized(f"{asked.platform}: the code, client id or client secret is not accepted") from error
    if not isinstance(answer, dict):
        raise Unavailable(f"{asked.platform}: the token answer is no object")
    return answer


def _picked(platform: str, wanted: Mapping[str, str], answer: Mapping[str, Any]) -> dict[str, str]:
    """Fields of ours from fields of the answer."""
    for theirs in wanted.values():
        if not isinstance(answer.get(theirs), str) or not answer[theirs]:
            raise Unavailable(f"{platform}: the token answer holds no {theirs}")
    return {ours: str(answer[theirs]) for ours, theirs in wanted.items()}


def _address(template: str, oauth: OAuth, settings: Mapping[str, Any]) -> str:
    """An address with its settings filled in."""
    values = {**oauth.defaults, **{name: str(value).rstrip("/") for name, value in settings.items() if value}}
    try:
        return template.format_map(values)
    except KeyError as error:
        raise invalid(f"setting {error.args[0]}", None, "a non-empty value") from error

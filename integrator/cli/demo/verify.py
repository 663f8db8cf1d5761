"""The same insight in every place: the tables as the partner's own role, the API, the webhook the receiver verified."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

import psycopg
import requests

from integrator.cli.demo.cast import Login
from integrator.contracts.errors import Defect
from integrator.contracts.insight import USE_CASES

TIMEOUT = 15


@dataclass(frozen=True)
class Published:
    """One current insight as the partner's own login reads it."""

    partner: str
    use_case: str
    subject_id: str
    platform: str
    document: str


def published(login: Login) -> list[Published]:
    """Everything the partner's own database role sees, which must be its own alone."""
    with psycopg.connect(login.database_url) as connection:
        found = []
        for use_case in USE_CASES:
            rows = connection.execute(
                f"select partner, '{use_case}', subject_id, platform, document from insights.{use_case}"
                " order by published_seq"
            ).fetchall()
            found += [Published(*row) for row in rows]
    strangers = {insight.partner for insight in found} - {login.partner}
    if strangers:
        raise Defect(f"the login of {login.partner} sees insights of {', '.join(sorted(strangers))}")
    return found


def compare(login: Login, insights: Sequence[Published], *, api: str, receiver: str, sample: int) -> dict[str, int]:
    """Compare tables, API and verified webhooks byte for byte; counts of what was compared, `Defect` at a difference."""
    token = _token(login, api)
    chosen = insights[:: max(1, len(insights) // sample)]
    for insight in chosen:
        through_api = _lookup(api, token, insight)
        if through_api != insight.document:
            raise Defect(f"{insight.use_case} of {insight.subject_id} differs between the table and the API")
    delivered = _delivered(receiver)
    missing = 0
    for insight in insights:
        document = json.loads(insight.document)
        through_webhook = delivered.get((document["id"], document["insight_version"]))
        if through_webhook is None:
            missing += 1
        elif insight.document not in through_webhook:
            raise Defect(f"{insight.use_case} of {insight.subject_id} differs between the table and the webhook")
    if missing:
        raise Defect(f"{missing} of {len(insights)} insights of {login.partner} have not reached the webhook receiver")
    return {"tables": len(insights), "api": len(chosen), "webhooks": len(insights)}


def stranger_is_refused(stranger: Login, insight: Published, api: str) -> None:
    """Another partner's token must not find it."""
    answer = _get(api, _token(stranger, api), insight)
    if answer.status_code != 404:
        raise Defect(f"{stranger.partner} asked for an insight of {insight.partner} and got {answer.status_code}")


def _token(login: Login, api: str) -> str:
    answer = requests.post(
        f"{api}/oauth/token", data={"grant_type": "client_credentials"}, auth=(login.client_id, login.client_secret),
        timeout=TIMEOUT,
    )  # fmt: skip
    answer.raise_for_status()
    return str(answer.json()["access_token"])


def _lookup(api: str, token: str, insight: Published) -> str:
    answer = _get(api, token, insight)
    answer.raise_for_status()
    return answer.content.decode()


def _get(api: str, token: str, insight: Published) -> requests.Response:
    subject = quote(insight.subject_id, safe="")
    return requests.get(
        f"{api}/v1/insights/{insight.use_case}/{subject}", params={"platform": insight.platform},
        headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT,
    )  # fmt: skip


def _delivered(receiver: str) -> dict[tuple[str, int], str]:
    """The bodies the receiver accepted after checking their signatures, by insight and version."""
    found: dict[tuple[str, int], str] = {}
    after = 0
    while True:
        answer = requests.get(receiver, params={"after": after}, timeout=TIMEOUT)
        answer.raise_for_status()
        page = answer.json()
        for entry in page["results"]:
            data = entry["document"]["data"]
            found[(data["id"], data["insight_version"])] = entry["body"]
        if not page["next"]:
            return found
        after = page["next"]

"""What the demo prints: insights, steps, verification, where to look next."""

import json
import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from integrator.cli.insights import amount, row
from integrator.cli.output import table
from integrator.embedded.endpoints import Endpoints

if TYPE_CHECKING:
    from integrator.cli.demo.cast import Login
    from integrator.cli.demo.verify import Published
    from integrator.steps.services import Services

COLUMNS = ("subject", "status", "value", "interval", "confidence", "explanation", "rung", "model")


def datasets(partners: Collection[str]) -> None:
    """One honest line for each set of data that these partners stand on."""
    from integrator_sandbox.datasets import DATASETS

    print("\nThe data is real and public, and stands in for partners' own:")
    for dataset in DATASETS:
        if dataset.partner in partners:
            print(f"  {dataset.partner}: {dataset.honest}")


def insights(published: Mapping[str, Sequence["Published"]], shown: int) -> None:
    """A table per partner and use case: the first of each status, then counts of all."""
    for partner, found in published.items():
        for use_case in sorted({insight.use_case for insight in found}):
            documents = [json.loads(insight.document) for insight in found if insight.use_case == use_case]
            statuses = Counter(document["status"] for document in documents)
            counted = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
            print()
            table(
                [row(document) for document in _telling(documents, shown)], COLUMNS,
                title=f"{partner} · {use_case} · {len(documents)} insights: {counted}",
            )  # fmt: skip


def _telling(documents: Sequence[dict[str, Any]], shown: int) -> list[dict[str, Any]]:
    """The largest values first, and one of every other status, so that a refusal is seen too."""
    ready = sorted((d for d in documents if d["value"] is not None), key=lambda d: -d["value"])
    others = {d["status"]: d for d in reversed(documents) if d["value"] is None}
    # Spread over the whole range: the ten largest alone would look alike.
    room = max(1, shown - len(others))
    return ready[:: max(1, len(ready) // room)][:room] + list(others.values())


def steps(rows: Sequence[Mapping[str, Any]]) -> None:
    """Seconds and rows of each step."""
    print()
    table(rows, ("step", "seconds", "rows"), title="The night, step by step")


def verified(counts: Mapping[str, Mapping[str, int]]) -> None:
    """What was compared, byte for byte."""
    print("\nThe same bytes in every place, and another partner finds none of them:")
    for partner, count in counts.items():
        print(
            f"  {partner}: {count['tables']} insights in the tables, {count['webhooks']} webhooks whose signature the "
            f"receiver verified, {count['api']} looked up through the API"
        )


def where_next(services: "Services", logins: Sequence["Login"], published: Mapping[str, Sequence["Published"]]) -> None:
    """Lines that can be pasted as they stand."""
    settings = services.settings
    login = logins[0]
    insight = published[login.partner][0]
    psql = Endpoints(settings.root).read().get("postgres", {}).get("psql", "psql")
    query = f"select subject_id, value, low, high, summary from insights.{insight.use_case} limit 5"
    api = f"http://127.0.0.1:{settings.realtime_port}"
    print("\nWhere to look next")
    print(
        f"  as {login.partner}'s own role:\n    {shlex.quote(psql)} {shlex.quote(login.database_url)} -c {shlex.quote(query)}"
    )
    print("  start everything and leave it running:\n    make up")
    print("  then, through the API:")
    print(
        f"    TOKEN=$(curl -s -u {login.client_id}:{login.client_secret} -d grant_type=client_credentials "
        f'{api}/oauth/token | sed \'s/.*"access_token": *"\\([^"]*\\)".*/\\1/\')'
    )
    print(
        f'    curl -H "Authorization: Bearer $TOKEN" "{api}/v1/insights/{insight.use_case}/{_path(insight.subject_id)}"'
    )
    print(
        f"  Dagster http://127.0.0.1:{settings.dagster_port} · MLflow http://127.0.0.1:{settings.mlflow_port} · API {api}"
    )
    example = json.loads(insight.document)
    said = amount(example["value"], example["unit"]) or "it was refused"
    print(f"  why {said}:\n    .venv/bin/integrator explain {example['id']}")


def _path(subject_id: str) -> str:
    from urllib.parse import quote

    return quote(subject_id, safe="")

"""What is sent in place of a document too large for a webhook (Standard Webhooks: below 20 kB): where to read it."""

from urllib.parse import quote

import msgspec

from integrator.contracts.insight import Insight, parse

SCHEMA = "insight-reference/v1"
LARGEST_BODY = 20_000
# Around the document stand type and timestamp.
MOST_BYTES = LARGEST_BODY - 200


def reference(document: str) -> str:
    """The head of the insight and `href`, below the address of the realtime API; JSON, always far below the limit.

    Its `schema` is another one, so that nobody takes it for the whole document: details, explanation and the rest are
    left out, value and interval are the document's own.
    """
    return msgspec.json.encode(_head(parse(document))).decode()


def _head(insight: Insight) -> dict[str, object]:
    subject = insight.subject
    return {
        "schema": SCHEMA, "id": insight.id, "insight_version": insight.insight_version, "status": insight.status,
        "partner": insight.partner, "use_case": insight.use_case, "subject": subject, "value": insight.value,
        "unit": insight.unit, "interval": insight.interval, "generated_at": insight.generated_at,
        "href": f"/v1/insights/{insight.use_case}/{quote(subject.id, safe='')}?platform={quote(subject.platform, safe='')}",
    }  # fmt: skip

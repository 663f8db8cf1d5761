"""What `/openapi.json` says of live scoring: the request, the document, a batch's answer."""

import json
from typing import Any

from integrator.steps import live_documents

Described = dict[str, Any]

EXAMPLES: dict[str, Described] = {
    "contact": {
        "summary": "A lead: a canonical contact, or some of its fields",
        "value": {"subject": "c-17", "stage": "opportunity", "attributes": {"seats": 12}},
    },
    "price": {"summary": "What if the price were 25", "value": {"subject": "espresso", "price": 25}},
    "friday": {
        "summary": "What if it were a Friday",
        "value": {"subject": {"id": "spring-gala", "platform": "pretix"}, "weekday": "friday"},
    },
}
_DEFINED = json.loads(json.dumps(live_documents.json_schema()).replace('"#/$defs/', '"#/components/schemas/'))
SHAPES: Described = _DEFINED["$defs"]
_DOCUMENT = {"$ref": "#/components/schemas/Score"}
_ITEM = {
    "type": "object",
    "description": "`subject` is an id, or an object of id, platform and kind; a record's own `native_id` does as well. "
    "All else is what is assumed: for lead_score a contact's fields, purchases, spent and attributes; for attendance one of "
    "starts_at, date, weekday, and capacity, is_holiday, attributes; for pricing price and unit_cost.",
}
_ONE_OF_MANY = {"anyOf": [_DOCUMENT, {"$ref": "#/components/schemas/Problem"}]}
_BATCH = {
    "type": "object", "required": ["scores"], "properties": {"scores": {"type": "array", "items": _ONE_OF_MANY}},
}  # fmt: skip

SCORING: Described = {
    "requestBody": {
        "required": True,
        "description": "One payload, or an array of up to 1,000; up to 16 MiB, plain or with Content-Encoding gzip.",
        "content": {
            "application/json": {
                "schema": {"anyOf": [_ITEM, {"type": "array", "items": _ITEM, "minItems": 1, "maxItems": 1000}]},
                "examples": EXAMPLES,
            }
        },
    },
}
SCORED: dict[int | str, Described] = {
    200: {
        "description": "The score; of an array one for each payload, in order, a problem where a payload could not be scored.",
        "content": {"application/json": {"schema": {"anyOf": [_DOCUMENT, _BATCH]}}},
    }
}

"""Every operation of the OpenAPI document, called with what it allows and with what it does not: nothing is found.

Schemathesis makes the requests from the document, against the service over a real database; the examples are the same
in every run.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
    unsupported_method,
)

from integrator.security import clients
from integrator.security.scopes import SCOPES
from integrator.steps.publish import publish
from integrator.steps.services import Services
from integrator_realtime.app import create_app
from tests.publishing import prediction, put_scored
from tests.serving import serving

# Tested by hand, with more cases.
LEFT = (ignored_auth, unsupported_method)
# A bad record is answered with 200 and its reason, beside the good ones. Who logs in twice in one request, and which
# accounts a platform has, origins a partner or subjects a use case, is beyond a schema.
LEFT_AT = {
    "/v1/events": [negative_data_rejection], "/v1/contacts": [negative_data_rejection],
    "/v1/sales": [negative_data_rejection], "/v1/quarantine/{quarantine_id}/replay": [negative_data_rejection],
    "/v1/feedback": [negative_data_rejection], "/oauth/": [positive_data_acceptance],
    "/v1/connections": [positive_data_acceptance], "/v1/widget-tokens": [positive_data_acceptance],
    "/v1/score/{use_case}": [positive_data_acceptance, negative_data_rejection],
    "/v1/host-databases": [positive_data_acceptance], "/v1/webhooks": [positive_data_acceptance],
    # Which bounds go together; and an amount is taken as a number too.
    "/v1/price-rules": [positive_data_acceptance, negative_data_rejection],
}  # fmt: skip
# A stream has no end that could be waited for: tests/integration/test_live.py.
ENDLESS = "/v1/live"
KEY = "Idempotency-Key"


@pytest.fixture(scope="module")
def served(services: Services) -> Iterator[dict[str, Any]]:
    """The document, where it is served, and an API key for all of it."""
    put_scored(services, "alpha", [prediction("gala")], position=1, at=services.clock())
    publish(services, "alpha", "attendance", run_id="run-1")
    key = clients.create(services.database, "alpha", SCOPES, services.clock(), method="api_key").client_secret
    oauth = clients.create(services.database, "alpha", SCOPES, services.clock())
    services.tracking.preload()  # the first score of a process waits for MLflow, longer than a case waits for an answer
    app = create_app(services)
    with serving(app) as url:
        yield {"url": url, "key": key, "login": (oauth.client_id, oauth.client_secret)}


@pytest.fixture(scope="module")
def document(served: dict[str, Any]) -> Any:
    return schemathesis.openapi.from_url(f"{served['url']}/openapi.json")


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: str(mode.value))
def test_nothing_is_found(document: Any, served: dict[str, Any], mode: GenerationMode) -> None:
    found: list[str] = []
    operations = [result.ok() for result in document.get_all_operations()]
    operations = [operation for operation in operations if operation.path != ENDLESS]
    assert len(operations) > 20
    for operation in operations:
        leave = [*LEFT, *next((more for path, more in LEFT_AT.items() if operation.path.startswith(path)), ())]
        how: dict[str, Any] = {"headers": {"Authorization": f"Bearer {served['key']}"}}
        if operation.path.startswith("/oauth/"):
            how = {"auth": served["login"]}
        try:
            _try(operation.as_strategy(generation_mode=mode), leave, how, mode)
        except Unsatisfiable:
            continue  # there is nothing to get wrong
        except (Exception, BaseExceptionGroup) as error:  # every operation is tried before all findings are shown
            found.append(f"{operation.label}: {_said(error)}")
    if found:
        pytest.fail("\n\n".join(found), pytrace=False)


def _try(cases: Any, leave: list[Any], how: dict[str, Any], mode: GenerationMode) -> None:
    numbers = count()

    @settings(
        max_examples=5, derandomize=True, database=None, deadline=None, phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=cases)
    def one(case: Case) -> None:
        if case.headers and KEY in case.headers and mode is GenerationMode.POSITIVE:
            case.headers[KEY] = f"key-{next(numbers)}"  # one key with two bodies is refused, as it has to be
        case.call_and_validate(excluded_checks=leave, **how)

    one()


def test_the_document_is_complete(served: dict[str, Any]) -> None:
    document = httpx.get(f"{served['url']}/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    text = str(document)
    assert "HTTPValidationError" not in text
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["description"], where
            open_to_all = not path.startswith(("/v1/", "/oauth/")) or path in (
                "/v1/schemas/{name}", "/v1/connections/callback", "/v1/widget.js",
            )  # fmt: skip
            assert open_to_all == ("security" not in operation), where
            if path.startswith("/v1/") and not open_to_all:
                assert {"401", "403", "422", "429", "503"} <= operation["responses"].keys(), where
                (scopes,) = operation["security"][0].values()
                assert set(scopes) <= set(SCOPES) and scopes, where
    for name, shape in document["components"]["schemas"].items():
        if name in ("Problem", "Token", "Pushed", "QuarantinePage", "Readiness", "Connections", "OAuthError"):
            assert shape["examples"], name


def _said(error: BaseException) -> str:
    inner = getattr(error, "exceptions", ())
    return "\n".join([str(error), *(_said(one) for one in inner)])

"""The sandbox as one FastAPI application: the platforms under their prefixes, webhooks, a host's page, health."""

from fastapi import FastAPI, Response

from integrator_sandbox import control, eventbrite, host, hubspot, pretix, salesforce, shopify, stripe, webhooks
from integrator_sandbox.gate import Gate
from integrator_sandbox.shopify_orders import Orders
from integrator_sandbox.state import Sandbox


def create_app(sandbox: Sandbox) -> FastAPI:
    """Load the data and mount everything; raises `Unavailable` when the data cannot be had."""
    app = FastAPI(title="Integrator sandbox", openapi_url=None, redirect_slashes=False)
    app.include_router(pretix.router(pretix.CarParks(sandbox)))
    app.include_router(hubspot.router(hubspot.Contacts(sandbox)))
    app.include_router(shopify.router(Orders(sandbox)))
    org = salesforce.Salesforce(sandbox)
    app.include_router(salesforce.router(org))
    fairs, account = eventbrite.Eventbrite(sandbox), stripe.Stripe(sandbox)
    app.include_router(eventbrite.router(fairs))
    app.include_router(stripe.router(account))
    app.include_router(webhooks.router(sandbox.home / "sandbox-webhooks"))
    app.include_router(host.router(sandbox.home / "sandbox-hosts"))
    if sandbox.control:
        app.include_router(control.router(sandbox))

    @app.get("/healthz")
    def health() -> Response:
        return Response(status_code=204)

    rules = {"salesforce": org.rule, "eventbrite": fairs.rule, "stripe": account.rule}
    app.add_middleware(Gate, sandbox=sandbox, rules=rules)
    return app

"""What connecting a Salesforce org takes. Nothing heavy: the registry imports this.

``base_url`` is the org's own address (My Domain). With a ``refresh_token`` among the credentials a person has let us
in, without one the client comes by itself (client credentials).
"""

from integrator.platforms.base import OAuth, PlatformSpec

SPEC = PlatformSpec(
    name="salesforce",
    title="Salesforce",
    kinds=("contact", "sale"),
    credential_fields=("client_id", "client_secret"),
    setting_fields={
        "base_url": True,
        "login_url": False,
        "api_version": False,
        "fields": False,
        "lost_statuses": False,
        "opportunities": False,
        "currency": False,
        "reserve_pct": False,
    },
    writes_back=("lead_score",),
    oauth=OAuth(
        authorize="{login_url}/services/oauth2/authorize",
        token="{login_url}/services/oauth2/token",  # noqa: S106 (an address)
        scopes=("api", "refresh_token"),
        keeps={"refresh_token": "refresh_token"},
        learns={"base_url": "instance_url"},
        defaults={"login_url": "https://login.salesforce.com"},
    ),
)

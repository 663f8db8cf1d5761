"""What connecting a HubSpot account takes. Nothing heavy: the registry imports this."""

from integrator.platforms.base import OAuth, PlatformSpec

SPEC = PlatformSpec(
    name="hubspot",
    title="HubSpot",
    kinds=("contact",),
    credential_fields=("client_id", "client_secret", "refresh_token"),
    setting_fields={
        "base_url": True,
        "properties": False,
        "converted_stages": False,
        "lost_statuses": False,
        "authorize_url": False,
    },
    writes_back=("lead_score",),
    oauth=OAuth(
        authorize="{authorize_url}/oauth/authorize",
        token="{base_url}/oauth/v1/token",  # noqa: S106 (an address)
        scopes=("crm.objects.contacts.read", "crm.schemas.contacts.read"),
        optional_scopes=("crm.objects.contacts.write", "crm.schemas.contacts.write"),
        keeps={"refresh_token": "refresh_token"},
        defaults={"authorize_url": "https://app.hubspot.com"},
    ),
)

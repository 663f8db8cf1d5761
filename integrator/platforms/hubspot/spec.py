"""What connecting a HubSpot account takes. Nothing heavy: the registry imports this."""

from integrator.platforms.base import PlatformSpec

SPEC = PlatformSpec(
    name="hubspot",
    title="HubSpot",
    kinds=("contact",),
    credential_fields=("client_id", "client_secret", "refresh_token"),
    setting_fields={"base_url": True, "properties": False, "converted_stages": False, "lost_statuses": False},
)

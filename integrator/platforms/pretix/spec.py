"""What connecting a pretix organizer takes. Nothing heavy: the registry imports this."""

from integrator.platforms.base import PlatformSpec

SPEC = PlatformSpec(
    name="pretix",
    title="pretix",
    kinds=("event", "contact", "sale"),
    credential_fields=("token",),
    setting_fields={"base_url": True, "organizer": True, "region": False, "country": False, "city": False},
    writes_back=("attendance", "pricing"),
)

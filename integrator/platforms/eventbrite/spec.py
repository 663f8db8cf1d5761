"""What connecting an Eventbrite organization takes. Nothing heavy: the registry imports this."""

from integrator.platforms.base import OAuth, PlatformSpec

SPEC = PlatformSpec(
    name="eventbrite",
    title="Eventbrite",
    kinds=("event", "contact", "sale"),
    credential_fields=("access_token",),
    setting_fields={"base_url": True, "organization": True, "login_url": False},
    oauth=OAuth(
        authorize="{login_url}/oauth/authorize",
        token="{login_url}/oauth/token",  # noqa: S106 (an address)
        scopes=(),  # Eventbrite has none: the token may do what its owner may
        keeps={"access_token": "access_token"},
        defaults={"login_url": "https://www.eventbrite.com"},
    ),
)

"""What connecting a Shopify shop takes. Nothing heavy: the registry imports this."""

from integrator.platforms.base import PlatformSpec

SPEC = PlatformSpec(
    name="shopify",
    title="Shopify",
    kinds=("sale",),
    credential_fields=("access_token",),
    setting_fields={"base_url": True, "api_version": False, "unit_cost_attribute": False},
)

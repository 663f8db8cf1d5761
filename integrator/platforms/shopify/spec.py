"""What connecting a Shopify shop takes. Nothing heavy: the registry imports this."""

from integrator.platforms.base import OAuth, PlatformSpec

SPEC = PlatformSpec(
    name="shopify",
    title="Shopify",
    kinds=("sale",),
    credential_fields=("access_token",),
    setting_fields={"base_url": True, "api_version": False, "unit_cost_attribute": False},
    oauth=OAuth(
        authorize="{base_url}/admin/oauth/authorize",
        token="{base_url}/admin/oauth/access_token",  # noqa: S106 (an address)
        scopes=("read_orders", "read_all_orders", "read_products"),
        keeps={"access_token": "access_token"},
        scope_separator=",",
    ),
)

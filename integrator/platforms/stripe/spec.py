"""What connecting a Stripe account takes. Nothing heavy: the registry imports this."""

from integrator.platforms.base import PlatformSpec

SPEC = PlatformSpec(
    name="stripe",
    title="Stripe",
    kinds=("contact", "sale"),
    credential_fields=("secret_key",),
    setting_fields={"base_url": True, "product_key": False, "quantity_key": False, "product": False},
)

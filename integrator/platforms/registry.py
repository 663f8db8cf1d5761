"""The platforms there are. To add one: a folder with ``spec.py`` and ``pull.py``, and one line here."""

from importlib import import_module
from typing import TYPE_CHECKING

from integrator.contracts.errors import invalid
from integrator.platforms.base import Platform, PlatformSpec
from integrator.platforms.declarative.spec import SPEC as DECLARATIVE
from integrator.platforms.eventbrite.spec import SPEC as EVENTBRITE
from integrator.platforms.hubspot.spec import SPEC as HUBSPOT
from integrator.platforms.pretix.spec import SPEC as PRETIX
from integrator.platforms.salesforce.spec import SPEC as SALESFORCE
from integrator.platforms.shopify.spec import SPEC as SHOPIFY
from integrator.platforms.stripe.spec import SPEC as STRIPE

if TYPE_CHECKING:
    from integrator.platforms.write_back import Writer

PLATFORMS: tuple[PlatformSpec, ...] = (PRETIX, HUBSPOT, SHOPIFY, EVENTBRITE, STRIPE, SALESFORCE, DECLARATIVE)


def spec(name: str) -> PlatformSpec:
    """The light entry; raises `InvalidInput` naming the platforms there are."""
    for entry in PLATFORMS:
        if entry.name == name:
            return entry
    raise invalid("platform", name, (entry.name for entry in PLATFORMS))


def platform(name: str) -> Platform:
    """The platform itself, its client imported only now."""
    module = import_module(f"integrator.platforms.{spec(name).name}.pull")
    loaded: Platform = module.PLATFORM
    return loaded


def writer(name: str) -> "Writer":
    """The platform's way back, its code imported only now; raises `InvalidInput` naming the platforms that have one."""
    entry = spec(name)
    if not entry.writes_back:
        raise invalid("platform to write back to", name, (one.name for one in PLATFORMS if one.writes_back))
    loaded: Writer = import_module(f"integrator.platforms.{entry.name}.write_back").WRITER
    return loaded

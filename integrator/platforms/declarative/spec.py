"""What connecting a declared platform takes: the definition, then what the definition itself asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from integrator.platforms.base import PlatformSpec


@dataclass(frozen=True)
class DeclarativeSpec(PlatformSpec):
    """A spec whose credentials and further settings stand in the definition."""

    def require(self, settings: Mapping[str, Any], credentials: Mapping[str, str]) -> None:
        """Raise `InvalidInput` naming what is wrong in the definition, the settings or the credentials."""
        from integrator.platforms.declarative.client import definition_of

        definition_of(settings, credentials)


SPEC = DeclarativeSpec(
    name="declarative",
    title="Any REST platform, by a YAML definition",
    kinds=("event", "contact", "sale"),
    credential_fields=(),
    setting_fields={"definition": True, "base_url": False, "prefix": False},
)

"""The one resource: the steps' services, opened when a run or a sensor first needs them."""

from functools import cache
from typing import TYPE_CHECKING

from dagster import ConfigurableResource

if TYPE_CHECKING:
    from integrator.steps.services import Services


class Integrator(ConfigurableResource):  # type: ignore[type-arg]
    """Opens storage at first use, so that loading the definitions touches no database and reads no secret."""

    @property
    def services(self) -> "Services":
        """Storage, cache, model registry and clock: one for the whole process."""
        return _opened()


@cache
def _opened() -> "Services":
    from integrator.settings import load_settings
    from integrator.steps.services import open_services

    return open_services(load_settings())

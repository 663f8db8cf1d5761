"""Opening what a command works on; any command starts embedded storage if none is configured."""

from typing import TYPE_CHECKING

from integrator.settings import Settings, load_settings

if TYPE_CHECKING:
    from integrator.steps.services import Services
    from integrator.storage.partners import Partner


_opened: "list[Services]" = []


def open_session(settings: Settings | None = None) -> "Services":
    """Services over the configured or embedded storage, migrated; `close_sessions` gives their connections back."""
    from integrator.steps.services import open_services

    services = open_services(settings or load_settings())
    _opened.append(services)
    return services


def close_sessions() -> None:
    """What the command opened ends with it."""
    while _opened:
        _opened.pop().database.close()


def require_partner(services: "Services", name: str) -> "Partner":
    """The registered partner, or `NotFound` naming those there are."""
    from integrator.storage import partners

    with services.database.service() as connection:
        return partners.get(connection, name)


def partner_names(services: "Services") -> list[str]:
    """Every registered partner."""
    from integrator.storage import partners

    with services.database.service() as connection:
        return [partner.partner for partner in partners.list_all(connection)]

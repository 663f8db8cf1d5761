"""Which languages a partner's insights can be in: those that every use case speaks."""

from integrator.contracts.errors import invalid
from models import messages
from models.registry import USE_CASES


def spoken() -> tuple[str, ...]:
    """The languages there are, in order of their codes."""
    each = [set(messages.languages(spec.name)) for spec in USE_CASES]
    return tuple(sorted(set.intersection(*each)))


def require_spoken(language: str) -> None:
    """InvalidInput, with those there are, for a language that some use case does not speak."""
    if language not in spoken():
        raise invalid("language", language, spoken())

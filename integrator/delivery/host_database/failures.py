"""What a host database's refusal means: permanent or transient, in words that hold neither a password nor a row."""

import re

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from integrator.contracts.errors import (
    Forbidden,
    IntegratorError,
    InvalidInput,
    PermanentError,
    Unauthorized,
    Unavailable,
)

LONGEST = 300
# SQLSTATE classes and codes of PostgreSQL that pass by themselves.
_PASSING = ("08", "40", "53", "55P03", "57", "58")
# MariaDB and MySQL: too many connections, lock waits and deadlocks, shutting down, connection lost, read only for now.
_PASSING_NUMBERS = frozenset({1040, 1053, 1203, 1205, 1213, 1290, 1317, 1836, 1927, 2002, 2003, 2006, 2013, 2014, 3024})
_REFUSED_NUMBERS = frozenset({1044, 1045, 1698})
_MISSING_NUMBERS = frozenset({1142, 1143, 1227, 1370})
_WRONG_LOGIN = re.compile(
    r"authentication failed|no pg_hba|role .* (?:does not exist|is not permitted)|no password", re.I
)
_QUOTED = re.compile(r"'[^']*'")


def judged(error: SQLAlchemyError, what: str) -> IntegratorError:
    """The failure that an error of SQLAlchemy or a driver stands for; `what` was being done."""
    origin = getattr(error, "orig", None)
    if not isinstance(error, DBAPIError) or origin is None:
        return PermanentError(f"{what}: {type(error).__name__}: {_short(str(error))}")
    state = getattr(origin, "sqlstate", None)
    number = origin.args[0] if origin.args and isinstance(origin.args[0], int) else None
    said = _said(origin)
    if state is None and number is None:
        return _by_words(error, said, what)
    if number in _REFUSED_NUMBERS or (state or "").startswith("28"):
        return Unauthorized(f"{what}: the login is refused: {said}")
    if number in _MISSING_NUMBERS or state == "42501":
        return Forbidden(f"{what}: a permission is missing: {said}")
    if number in _PASSING_NUMBERS or (state or "").startswith(_PASSING):
        return Unavailable(f"{what}: {said}")
    return InvalidInput(f"{what}: {said}")


def _by_words(error: DBAPIError, said: str, what: str) -> IntegratorError:
    """SQLite, and what libpq says before it is connected, have no code: their words decide."""
    if _WRONG_LOGIN.search(said):
        return Unauthorized(f"{what}: the login is refused: {said}")
    if re.search(r"unable to open|not authorized|readonly|no such|does not exist|certificate|SSL", said):
        return InvalidInput(f"{what}: {said}")
    return Unavailable(f"{what}: {said}") if isinstance(error, OperationalError) else InvalidInput(f"{what}: {said}")


def _said(origin: BaseException) -> str:
    """The first line of what the server said: details repeat rows, and so do MariaDB's quoted values."""
    primary = getattr(getattr(origin, "diag", None), "message_primary", None)
    if primary:
        return _short(primary)
    if len(origin.args) > 1 and isinstance(origin.args[0], int):
        words = str(origin.args[1])
        return _short(
            _QUOTED.sub("'…'", words, count=1) if words.startswith(("Duplicate", "Incorrect", "Truncated")) else words
        )
    return _short(str(origin))


def _short(text: str) -> str:
    line = (text.strip().splitlines() or ["no reason given"])[0]
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"

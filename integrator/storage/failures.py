"""What may be said of a failure in a log: where and of what kind, never the data at which it failed.

SQLAlchemy's words repeat the values that were to be written, PostgreSQL's DETAIL and CONTEXT the row, other libraries'
the value they could not read: of these the kind alone is told.
"""

import traceback

import psycopg
from sqlalchemy.exc import DBAPIError

from integrator.contracts.errors import IntegratorError

LONGEST = 500


def said(error: BaseException) -> str:
    """Our own words; of a database its kind and SQLSTATE; of whatever else the kind."""
    if isinstance(error, IntegratorError):
        return str(error)[:LONGEST]
    origin = error.orig if isinstance(error, DBAPIError) else error
    state = origin.sqlstate if isinstance(origin, psycopg.Error) else None
    return (
        f"{_kind(error)} ({_kind(origin)}, SQLSTATE {state or 'unknown'})" if _is_of_database(error) else _kind(error)
    )


def reason(error: BaseException) -> str:
    """Why a step of the night failed, for whoever edits it: also others' words, save a database's.

    What the steps after landing read holds nothing personal, but PostgreSQL's DETAIL repeats whole rows.
    """
    return said(error) if _is_of_database(error) else f"{_kind(error)}: {error}"


def traced(error: BaseException) -> str:
    """The same with the lines of code it came through, and so on for what caused it."""
    told: list[str] = []
    one: BaseException | None = error
    while one is not None and len(told) < 10:
        told.append("".join([f"{said(one)}\n", *traceback.format_tb(one.__traceback__)]).rstrip())
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return "\nbecause of ".join(told)


def place(error: BaseException) -> str:
    """The function and line it was raised at, where all lines would be too many."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].name}:{frames[-1].lineno}" if frames else "no line of ours"


def _is_of_database(error: BaseException) -> bool:
    return isinstance(error, DBAPIError | psycopg.Error)


def _kind(error: BaseException | None) -> str:
    return type(error).__name__

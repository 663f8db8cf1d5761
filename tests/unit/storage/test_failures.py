"""What a log may be told of a failure: kind, SQLSTATE and lines of code, and none of the data."""

import psycopg
from sqlalchemy.exc import DataError, IntegrityError

from integrator.contracts.errors import Unavailable
from integrator.storage.failures import place, reason, said, traced

SECRET = "ada@example.org"


def broken() -> IntegrityError:
    """As a driver raises it: both texts hold the row."""
    return IntegrityError(
        "insert", {"email": SECRET}, psycopg.errors.UniqueViolation(f"DETAIL: ({SECRET}) already exists")
    )


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        if cause is None:
            raise error
        raise error from raised(cause)
    except Exception as found:
        return found


def test_of_a_database_its_kind_and_state() -> None:
    assert said(broken()) == "IntegrityError (UniqueViolation, SQLSTATE 23505)"
    assert said(psycopg.errors.InvalidTextRepresentation(SECRET)).endswith("SQLSTATE 22P02)")
    assert said(DataError("select", [SECRET], ValueError(SECRET))) == "DataError (ValueError, SQLSTATE unknown)"


def test_our_own_words_and_of_others_the_kind() -> None:
    assert said(Unavailable("Redis is away")) == "Redis is away"
    assert len(said(Unavailable("x" * 10_000))) == 500
    assert said(ValueError(SECRET)) == "ValueError"


def test_lines_of_code_and_causes_without_words() -> None:
    told = traced(raised(RuntimeError(SECRET), broken()))
    assert told.startswith("RuntimeError\n") and "because of IntegrityError (UniqueViolation, SQLSTATE 23505)" in told
    assert "test_failures.py" in told and "in raised" in told and SECRET not in told


def test_a_circle_of_causes_ends() -> None:
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert traced(first).count("because of") == 9


def test_where_it_was() -> None:
    assert place(raised(ValueError(SECRET))).startswith("raised:")
    assert place(ValueError(SECRET)) == "no line of ours"


def test_why_a_step_failed_is_told_in_others_words_save_a_databases() -> None:
    assert reason(KeyError("visits")) == "KeyError: 'visits'"
    assert reason(broken()) == said(broken()) and SECRET not in reason(broken())

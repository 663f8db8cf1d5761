"""Models made elsewhere: what they may ask for, what they may answer, and Shapley values of whatever they are."""

from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from integrator.contracts.errors import InvalidInput, PermanentError
from models.outside.contract import Input, answered, asked, matrix, numbers
from models.outside.shapley import sampled, typical

TABLE = pl.DataFrame(
    {
        "age": [1.0, 2.0, 3.0],
        "source": ["ads", None, "ads"],
        "spent": [5.0, float("nan"), 7.0],
        "is_new": [1.0, 0.0, 1.0],
    }
)


def test_a_signature_gets_its_columns_in_its_own_types() -> None:
    found = asked(
        TABLE, [Input("spent", "float"), Input("age", "long"), Input("source", "string"), Input("is_new", "boolean")]
    )
    assert list(found) == ["spent", "age", "source", "is_new"]
    assert [found[name].dtype for name in found] == [np.dtype(kind) for kind in ("float32", "int64", "object", "bool")]
    assert found["age"].tolist() == [1, 2, 3]
    assert found["source"].tolist() == ["ads", None, "ads"]
    assert np.isnan(found["spent"][1])


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Input("colour", "float"), "'colour'.*age"),
        (Input("age", "string"), "it is a number"),
        (Input("source", "float"), "it is a word"),
        (Input("spent", "long"), "values are missing"),
        (Input("age", "binary"), "'binary'.*double"),
    ],
)
def test_what_cannot_be_given_is_refused_with_what_can(wanted: Input, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        asked(TABLE, [wanted])


def test_a_bare_tensor_gets_all_numbers_in_order() -> None:
    assert numbers(TABLE) == ["age", "spent", "is_new"]
    found = matrix(TABLE, 3)
    assert found.dtype == np.float32 and found.shape == (3, 3)
    assert matrix(TABLE, -1).shape == (3, 3)
    with pytest.raises(InvalidInput, match="3, the numbers of the table"):
        matrix(TABLE, 4)


@pytest.mark.parametrize(
    "result",
    [
        [0.1, 0.2],
        np.array([[0.1], [0.2]], dtype=np.float32),
        np.array([[0.9, 0.1], [0.8, 0.2]]),
        pd.DataFrame({"other": [5.0, 6.0], "value": [0.1, 0.2]}),
        pd.DataFrame({0: [0.9, 0.8], 1: [0.1, 0.2]}),
        {"label": np.array([0, 0]), "probabilities": np.array([[0.9, 0.1], [0.8, 0.2]])},
        {"unheard_of": np.array([0.1, 0.2])},
    ],
)
def test_answers_are_found_whatever_their_form(result: Any) -> None:
    assert answered(result, 2).tolist() == pytest.approx([0.1, 0.2])


@pytest.mark.parametrize(
    "result", [[0.1], np.zeros((2, 3)), np.array(["a", "b"]), {}, np.zeros((2, 2, 1)), pd.DataFrame({"x": ["a", "b"]})]
)
def test_what_is_no_answer_is_told(result: Any) -> None:
    with pytest.raises(PermanentError, match="the model answered"):
        answered(result, 2)


def test_not_a_number_is_no_answer() -> None:
    with pytest.raises(PermanentError, match="no number to 1 of 2 rows"):
        answered([0.5, float("nan")], 2)


def product(table: pl.DataFrame) -> Any:
    """A model with an interaction, missing numbers counting as zero."""
    a, b, c = (table[name].fill_nan(0.0).to_numpy() for name in ("age", "spent", "is_new"))
    return a * b + 10 * c + np.where(table["source"].to_numpy() == "ads", 1.0, 0.0)


def exact(row: pl.DataFrame, reference: pl.DataFrame, players: list[str]) -> list[float]:
    """Shapley's definition: the mean over all orders of what each player adds."""
    totals = dict.fromkeys(players, 0.0)
    orders = list(permutations(players))
    for order in orders:
        mixed = reference
        for player in order:
            then = mixed.with_columns(row[player])
            totals[player] += float(product(then)[0] - product(mixed)[0]) / len(orders)
            mixed = then
    return list(totals.values())


def test_sampled_values_sum_exactly_and_come_close_to_the_definition() -> None:
    players, reference = TABLE.columns, typical(TABLE)
    effects, answers, expected = sampled(product, TABLE, reference, players, seed=7, pairs=200)
    assert effects.sum(axis=1) == pytest.approx(answers - expected)
    assert answers.tolist() == product(TABLE).tolist()
    for number in range(TABLE.height):
        assert effects[number] == pytest.approx(exact(TABLE[number], reference, players), abs=0.5)


def test_a_rows_values_do_not_depend_on_the_rows_beside_it() -> None:
    reference = typical(TABLE)
    together, _, _ = sampled(product, TABLE, reference, TABLE.columns, seed=7)
    for number in range(TABLE.height):
        alone, _, _ = sampled(product, TABLE[number], reference, TABLE.columns, seed=7)
        assert alone[0].tolist() == together[number].tolist()


def test_columns_that_do_not_play_keep_their_value_and_get_nothing() -> None:
    effects, _, _ = sampled(product, TABLE, typical(TABLE), ["is_new"], seed=7)
    assert effects[:, 0].tolist() == [0.0, -10.0, 0.0]


def test_the_typical_row_is_in_the_middle_and_no_order_of_rows_changes_it() -> None:
    middle = typical(TABLE)
    assert middle.row(0) == (2.0, "ads", 6.0, 1.0)
    assert typical(TABLE[::-1]).equals(middle)
    empty = typical(pl.DataFrame({"age": [None], "source": [None]}, schema={"age": pl.Float64, "source": pl.String}))
    assert np.isnan(empty["age"][0]) and empty["source"][0] is None


def test_no_rows_no_questions() -> None:
    effects, answers, _ = sampled(product, TABLE.clear(), typical(TABLE), TABLE.columns, seed=7)
    assert effects.shape == (0, 4) and answers.shape == (0,)

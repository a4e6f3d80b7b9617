"""`embed` gives texts rows by the table's own encoder, and loads it for none that is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lass3d_core.files.pair_index import read_index
from lass3d_core.files.query_texts import FILE, asked_rows, phrase_rows, query_rows
from preprocess.lvm.hashing import HashingEncoder, HashingParams


def test_a_text_is_embedded_by_the_encoder_of_the_table(street: Any, capfd: Any) -> None:
    assert street.run("embed", "--text", "a wooden spoon") == 0
    assert capfd.readouterr().out == f"wrote 1 text to {street.artifacts / FILE}\n"
    expected = HashingEncoder(HashingParams()).encode(["wooden spoon"]).pooled
    np.testing.assert_allclose(query_rows(street.artifacts, ["a wooden spoon"]), expected, atol=1e-3)


def test_what_was_asked_before_stays_and_is_not_asked_again(street: Any, capfd: Any) -> None:
    assert street.run("embed", "--text", "a spoon") == 0
    assert street.run("embed", "--text", "a fork", "--text", "a spoon") == 0
    assert street.run("embed", "--text", "a spoon", "--text", "a fork") == 0
    assert capfd.readouterr().out.splitlines()[-1] == "nothing to embed: 2 texts known already"
    assert list(asked_rows(street.artifacts)) == ["a spoon", "a fork"]


def test_a_phrase_of_the_table_needs_no_encoder_however_it_is_spelt(street: Any, capfd: Any) -> None:
    """The manifest's encoder is another one by now; it would be refused if it were needed."""
    phrase, row = next(iter(phrase_rows(street.artifacts).items()))
    street.set(text_embeddings__params__dim=32)
    assert street.run("embed", "--text", phrase) == 0
    assert "nothing to embed" in capfd.readouterr().out
    assert street.run("embed", "--text", f"The {phrase.upper()}.") == 0
    assert asked_rows(street.artifacts)[f"The {phrase.upper()}."].tolist() == row.tolist()


def test_every_class_has_a_row_in_words(street: Any) -> None:
    assert street.run("embed", "--classes") == 0
    names = read_index(street.artifacts / "pairs").class_names
    assert query_rows(street.artifacts, [name.replace("-", " ") for name in names]).shape == (len(names), 64)


def test_another_encoder_than_the_tables_is_refused(street: Any, one_line: Any) -> None:
    street.set(text_embeddings__params__dim=32)
    assert street.run("embed", "--text", "a wooden spoon") == 2
    line = one_line()
    assert "another encoder than the manifest names (encoder params dim: 64 -> 32)" in line
    assert not (street.artifacts / FILE).exists()


def test_answers_of_an_encoder_that_was_replaced_are_made_anew(street: Any) -> None:
    assert street.run("embed", "--text", "a spoon") == 0
    street.set(text_embeddings__params__dim=32)
    assert street.run("captions") == 0
    assert street.run("embed", "--text", "a fork") == 0
    assert {text: len(row) for text, row in asked_rows(street.artifacts).items()} == {"a fork": 32}


@pytest.mark.parametrize("arguments", [(), ("--text", " ")])
def test_nothing_to_embed_is_one_line(street: Any, one_line: Any, arguments: tuple[str, ...]) -> None:
    assert street.run("embed", *arguments) == 2
    assert "--text" in one_line()

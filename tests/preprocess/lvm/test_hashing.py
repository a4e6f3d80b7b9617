from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.errors import UnknownName
from lass3d_core.manifest.schema import LvmSpec
from lass3d_core.records import TextRows
from preprocess.lvm import load_encoder
from preprocess.lvm.concepts import WORLDS, Knowledge
from preprocess.lvm.hashing import HashingEncoder, HashingParams

ENCODER = HashingEncoder(HashingParams())


def pooled(*texts: str) -> np.ndarray:
    return ENCODER.encode(texts).pooled


def similarity(first: str, second: str) -> float:
    rows = pooled(first, second)
    return float(rows[0] @ rows[1])


def rows_of(encoded: TextRows, text: int) -> np.ndarray:
    return encoded.rows[encoded.offsets[text] : encoded.offsets[text + 1]]


def test_text_has_a_row_per_content_word_and_an_end_row() -> None:
    encoded = ENCODER.encode(["A red car, and the house.", "sky", ""])
    assert np.diff(encoded.offsets).tolist() == [4, 2, 1]
    for text in range(3):
        assert np.array_equal(rows_of(encoded, text)[-1], encoded.pooled[text])
    assert np.allclose(np.linalg.norm(encoded.rows, axis=1), 1, atol=1e-6)


def test_same_word_in_other_texts_has_the_same_row() -> None:
    encoded = ENCODER.encode(["a car by a house", "The Car!"])
    assert np.array_equal(rows_of(encoded, 0)[0], rows_of(encoded, 1)[0])


@pytest.mark.parametrize("known", WORLDS.values(), ids=WORLDS)
def test_synonyms_of_every_kind_are_nearer_than_any_other_kind(known: Knowledge) -> None:
    phrases = [(index, phrase) for index, concept in enumerate(known.concepts) for phrase in concept.words]
    rows = pooled(*(phrase for _, phrase in phrases))
    cosine = rows @ rows.T - 2 * np.eye(len(rows))
    owner = np.array([index for index, _ in phrases])
    same = owner[:, None] == owner
    nearest_other = np.where(same, -2, cosine).max(axis=1)
    farthest_own = np.where(same & ~np.eye(len(rows), dtype=bool), cosine, 2).min(axis=1)
    for (_, phrase), own, other in zip(phrases, farthest_own, nearest_other):
        assert own > other, phrase


@pytest.mark.parametrize(
    ("phrase", "head", "modifier"),
    [("road sign", "sign", "road"), ("tree trunk", "trunk", "tree"), ("house fence", "fence", "house")],
)
def test_head_of_a_phrase_decides_what_it_means(phrase: str, head: str, modifier: str) -> None:
    assert similarity(phrase, head) > similarity(phrase, modifier) + 0.3


def test_words_apart_keep_their_own_meaning() -> None:
    encoded = ENCODER.encode(["road sign", "road, sign", "road"])
    modifier, alone = rows_of(encoded, 0)[0], rows_of(encoded, 1)[0]
    assert np.array_equal(alone, rows_of(encoded, 2)[0])
    assert not np.array_equal(modifier, alone)


def test_plural_is_the_singular() -> None:
    assert similarity("trees", "a tree") == pytest.approx(1, abs=1e-6)
    assert similarity("bushes", "bush") == pytest.approx(1, abs=1e-6)


def test_long_text_is_cut_to_the_context() -> None:
    encoder = HashingEncoder(HashingParams(context=5))
    encoded = encoder.encode(["one two three four five six", "one two three four"])
    assert np.diff(encoded.offsets).tolist() == [5, 5]
    assert np.array_equal(rows_of(encoded, 0), rows_of(encoded, 1))
    assert encoder.cut == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=4))
def test_any_text_has_rows_that_do_not_depend_on_the_batch(texts: list[str]) -> None:
    together = ENCODER.encode(texts)
    for index, text in enumerate(texts):
        alone = ENCODER.encode([text])
        assert np.array_equal(rows_of(together, index), alone.rows)
        assert np.isfinite(alone.rows).all()


@pytest.mark.parametrize("params", [{"dim": 1}, {"context": 1}, {"meaning": 1.5}, {"dmi": 64}])
def test_bad_parameters_are_named(params: dict) -> None:
    with pytest.raises(UnknownName, match=r"text_embeddings\.params"):
        load_encoder(LvmSpec("hashing", params))

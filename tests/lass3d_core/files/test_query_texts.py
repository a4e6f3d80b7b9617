from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lass3d_core.errors import CorruptArtifact, MissingArtifact, StaleArtifact
from lass3d_core.files.fingerprint import Record
from lass3d_core.files.query_texts import FILE, TEXT_TABLE, asked_rows, query_rows, write_asked
from tests.text_tables import TextTable, write_text_table


def write_table(folder: Path, dim: int = 4) -> None:
    """A table of two phrases by an encoder whose only parameter is its dimension."""
    none = np.zeros((0, dim), np.float16)
    table = TextTable(
        (), np.zeros(0, np.int32), (), np.zeros(1, np.int64), none, none, ("car", "road"),
        np.eye(2, dim, dtype=np.float16),
    )  # fmt: skip
    params = {"encoder": "hand", "encoder params": {"dim": dim}}
    record = Record(stage="text_embeddings", schema=1, params=params, inputs={}, upstream={})
    write_text_table(folder / TEXT_TABLE, table, record)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_table(tmp_path)
    write_asked(tmp_path, {"a parked car": np.array([0.5, 0, 0, 0.5])})
    return tmp_path


def test_a_text_has_the_row_that_was_written_or_that_of_the_phrase(folder: Path) -> None:
    rows = query_rows(folder, ["road", "a parked car"])
    assert rows.dtype == np.float32
    assert rows.tolist() == [[0, 1, 0, 0], [0.5, 0, 0, 0.5]]


def test_phrases_need_no_file_of_queries(folder: Path) -> None:
    (folder / FILE).unlink()
    assert asked_rows(folder) == {}
    assert query_rows(folder, ["car"]).tolist() == [[1, 0, 0, 0]]


def test_a_text_that_nobody_embedded_is_one_line(folder: Path) -> None:
    with pytest.raises(MissingArtifact, match=r"no row of 'a Car'.*make query") as error:
        query_rows(folder, ["car", "a Car"])
    assert "\n" not in str(error.value)


def test_rows_of_another_encoder_are_refused_with_what_differs(folder: Path) -> None:
    write_table(folder, dim=6)
    with pytest.raises(StaleArtifact, match=r"another encoder .*encoder params dim: 6 -> 4.*make query"):
        query_rows(folder, ["car"])


def test_damage_is_told_with_the_right_remedy(folder: Path) -> None:
    content = bytearray((folder / FILE).read_bytes())
    content[len(content) // 2] ^= 255
    content[-40] ^= 255
    (folder / FILE).write_bytes(bytes(content[:-200]))
    with pytest.raises(CorruptArtifact, match=r"query_texts\.h5 is damaged; delete it, and `make query "):
        query_rows(folder, ["car"])

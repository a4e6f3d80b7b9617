"""Embeddings of query texts, in a file beside the text table of a data set.

`python -m preprocess embed` writes them with the encoder of the text table. `python -m train query` reads
them, so the trainer needs no encoder. The file is a text table without captions; see `docs/formats.md`.
Every function raises MissingArtifact, StaleArtifact or CorruptArtifact; `write_asked` also StorageError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lass3d_core.errors import CorruptArtifact, MissingArtifact, StaleArtifact
from lass3d_core.files.fingerprint import Record, reasons
from lass3d_core.files.text_table import (
    TEXT_TABLE,
    TextNames,
    TextRowsFile,
    read_text_table_record,
    write_text_rows,
)

STAGE = "query_texts"
SCHEMA = 1
FILE = "query_texts.h5"


def phrase_rows(folder: Path) -> dict[str, np.ndarray]:
    """Phrase -> row (D,) float16, from the text table."""
    return _rows(folder / TEXT_TABLE)


def asked_rows(folder: Path) -> dict[str, np.ndarray]:
    """Text -> row (D,) float16 of earlier queries by the text table's encoder; empty if there were none."""
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        other = encoder_changes(read_text_table_record(path)["params"], folder)
        if other:
            raise StaleArtifact(
                f"{path} was made by another encoder than {TEXT_TABLE} ({other}); {_remedy(folder)}"
            )
        return _rows(path)
    except CorruptArtifact:
        raise CorruptArtifact(f"{path} is damaged; delete it, and {_remedy(folder)}") from None


def encoder_changes(params: Mapping[str, object], folder: Path) -> str:
    """Say how the encoder `params` differs from the text table's; empty if it does not."""
    made = read_text_table_record(folder / TEXT_TABLE)["params"]
    return "; ".join(reasons(_record(made), _record(params)))


def query_rows(folder: Path, texts: Sequence[str]) -> np.ndarray:
    """The rows (T,D) float32 of `texts`, spelled as in the file. Raises MissingArtifact for another text."""
    known = phrase_rows(folder) | asked_rows(folder)
    for text in texts:
        if text not in known:
            raise MissingArtifact(f"{folder / FILE} has no row of {text!r}; {_remedy(folder)}")
    return np.stack([known[text] for text in texts]).astype(np.float32)


def write_asked(folder: Path, rows: Mapping[str, np.ndarray]) -> Path:
    """Write the rows (D,) of query texts by the text table's encoder, and return the path."""
    names = TextNames((), np.zeros(0, np.int32), (), phrases=tuple(rows))
    stacked = np.stack(list(rows.values())).astype(np.float16)
    record = _record(read_text_table_record(folder / TEXT_TABLE)["params"])
    write_text_rows(folder / FILE, names, (), stacked, record)
    return folder / FILE


def _remedy(folder: Path) -> str:
    """What to do. folder: artifacts/DATASET, which names the data set."""
    name = folder.name
    command = f"python -m preprocess embed --dataset {name} --text TEXT"
    return f"`make query DATASET={name}` (or `{command}`) embeds it with the table's encoder"


def _rows(path: Path) -> dict[str, np.ndarray]:
    file = TextRowsFile(path)
    try:
        return dict(zip(file.phrases, file.phrase_rows))
    finally:
        file.close()


def _record(params: Mapping[str, object]) -> Record:
    return Record(stage=STAGE, schema=SCHEMA, params=params, inputs={}, upstream={})

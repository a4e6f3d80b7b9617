"""Which language-vision models made the texts that training reads, as the files of preprocess record it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from lass3d_core.errors import CorruptArtifact, MissingArtifact, StaleArtifact
from lass3d_core.files.fingerprint import Record, as_record
from lass3d_core.files.json_files import parse_json
from lass3d_core.files.text_table import TEXT_TABLE, read_text_table_record
from lass3d_core.manifest.schema import DatasetSpec, LvmStage
from lass3d_core.manifest.stand_ins import stand_in_warning
from train.data.paired_scans import PairedScans
from train.methods.contract import MethodConfig

TextModels = dict[LvmStage, tuple[str, ...]]
"""Stage -> the names of its models. One, as a rule; none if nothing records it."""

_KEYS: dict[LvmStage, str] = {
    "image_captions": "captioner",
    "entities": "detector",
    "text_embeddings": "encoder",
}


def text_models(scans: PairedScans) -> TextModels:
    """The models of the training scans' captions and entities, and of the text table.

    Training does without the files of captions and entities. So what is missing or damaged names no model.
    """
    return {stage: tuple(sorted(_names(scans, stage))) for stage in _KEYS}


def uses_text(method: MethodConfig) -> bool:
    """Whether texts reach the training. Without captions a method reads only the width of their rows."""
    return method.reads_text and getattr(method, "captions", "both") != "none"


def warn_of_stand_ins(scans: PairedScans, spec: DatasetSpec, methods: Iterable[MethodConfig]) -> None:
    """Say on stderr, once, that stand-ins made the texts, if one of the methods uses them."""
    if any(map(uses_text, methods)):
        warning = stand_in_warning(scans.index.dataset, spec, text_models(scans))
        if warning is not None:
            print(f"warning: {warning}", file=sys.stderr)


def _names(scans: PairedScans, stage: LvmStage) -> set[str]:
    names = {record["params"].get(_KEYS[stage]) for record in _records(scans, stage)}
    return {name for name in names if isinstance(name, str)}


def _records(scans: PairedScans, stage: LvmStage) -> Iterator[Record]:
    """Yield what the files of a stage were made from."""
    if stage == "text_embeddings":
        with suppress(MissingArtifact, StaleArtifact, CorruptArtifact):
            yield read_text_table_record(scans.folder / TEXT_TABLE)
        return
    for file in scans.index.files("train"):
        with suppress(OSError, ValueError, LookupError, TypeError):
            yield _record_in((scans.folder / stage / file).with_suffix(".jsonl"))


def _record_in(path: Path) -> Record:
    """The record in the first line of a shard of captions or entities."""
    with path.open("rb") as file:
        return as_record(parse_json(file.readline())["record"])

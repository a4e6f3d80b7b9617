"""Flip single bytes of checksummed files: reading must notice it or give the same values."""

from __future__ import annotations

import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lass3d_core.errors import Lass3dError
from lass3d_core.files.shards import ShardReader, write_shard
from lass3d_core.files.text_table import TextRowsFile, read_text_table_record

from .project import RUN_FOLDER, TinyProject

_PAIRS = "artifacts/street/pairs"

FILES: Mapping[str, str] = {
    "pair shard": f"{_PAIRS}/00-000.h5",
    "pair shard, compact": "compact.h5",
    "text table": "artifacts/street/text_embeddings.h5",
    "captions": "artifacts/street/image_captions/00-000.jsonl",
    "entities": "artifacts/street/entities/00-000.jsonl",
    "checkpoint": f"{RUN_FOLDER}/checkpoints/step-000006.pt",
    "model file": f"{RUN_FOLDER}/model.safetensors",
}

_BLOCKS = {
    b"FSSE": "the heap's list of free space",
    b"FSHD": "the heap's list of free space",
    b"BTLF": "unused end of a B-tree's leaf",
    b"OHDR": "unused end of an object's header",
}
"""Bytes that HDF5 leaves without a checksum, by the signature of the block before them."""


@dataclass
class Flips:
    """The outcome of the flips in one file.

    harmless: what the byte was -> count. others: messages about flips that were neither noticed nor harmless.
    """

    name: str
    count: int = 0
    detected: int = 0
    harmless: Counter[str] = field(default_factory=Counter)
    others: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return self.count == self.detected + self.harmless.total()


def flip_all(project: TinyProject, flips: int, seed: int) -> list[Flips]:
    """Flip `flips` bytes in total, one at a time, equally many in each of FILES."""
    _write_compact(project)
    found = []
    for number, (name, file) in enumerate(FILES.items()):
        share = flips // len(FILES) + (number < flips % len(FILES))
        ended = project.warm.call(
            "benchmarks.fault_injection.flips:print_verdicts",
            str(project.folder / file),
            name,
            share,
            seed,
        )
        if ended.status:
            found.append(
                Flips(name, share, others=[f"reading ended with {ended.status}: {ended.errors[-500:]}"])
            )
            continue
        verdicts = json.loads(ended.output)
        found.append(
            Flips(name, share, verdicts["detected"], Counter(verdicts["harmless"]), verdicts["others"])
        )
    return found


def print_verdicts(path: str, name: str, flips: int, seed: int) -> None:
    """Run in a child process: flip bytes of a copy, read it each time, and print the outcome."""
    original, rng, outcome = Path(path), random.Random(f"{seed} {name}"), Flips(name, flips)
    with tempfile.TemporaryDirectory() as folder:
        _flip(original, Path(folder) / original.name, READERS[name], rng, outcome)
    print(json.dumps({"detected": outcome.detected, "harmless": outcome.harmless, "others": outcome.others}))


def _flip(
    original: Path, damaged: Path, read: Callable[[Path, Path], Any], rng: random.Random, outcome: Flips
) -> None:
    whole, right = original.read_bytes(), read(original, original)
    for _ in range(outcome.count):
        at, mask = rng.randrange(len(whole)), rng.randint(1, 255)
        content = bytearray(whole)
        content[at] ^= mask
        damaged.write_bytes(content)
        try:
            if read(damaged, original) == right:
                outcome.harmless[_what_it_was(whole, at)] += 1
            else:
                outcome.others.append(f"byte {at} ^ {mask} of {original.name} went unnoticed")
        except Lass3dError:
            outcome.detected += 1
        except Exception as error:
            outcome.others.append(f"byte {at} ^ {mask} of {original.name}: {type(error).__name__}: {error}")


def _what_it_was(whole: bytes, at: int) -> str:
    if not whole.startswith(b"\x89HDF"):
        return "a space" if whole[at : at + 1].isspace() else "another way to write the same"
    place, block = max((whole.rfind(signature, 0, at + 1), what) for signature, what in _BLOCKS.items())
    return block if place >= 0 else "its beginning"


def _pair_shard(path: Path, original: Path) -> Any:
    reader = ShardReader(path)
    try:
        return reader.header, reader.scan_ids, [_plain(scan) for scan in reader.scans()]
    finally:
        reader.close()


def _text_table(path: Path, original: Path) -> Any:
    table = TextRowsFile(path)
    try:
        captions = table.captions(range(len(table.caption_texts)))
        rows = _plain([captions, table.image_caption, table.phrase_rows])
        names = table.image_ids, table.caption_texts, table.phrases
        return read_text_table_record(path), rows, names
    finally:
        table.close()


def _jsonl(path: Path, original: Path) -> Any:
    from preprocess.stages.jsonl_shards import read_jsonl

    return read_jsonl(path)


def _model(path: Path, original: Path) -> Any:
    from lass3d_core.model.file import read_model

    card, weights = read_model(path)
    return card, {name: tensor.numpy().tobytes() for name, tensor in weights.items()}


def _checkpoint(path: Path, original: Path) -> Any:
    from train.config import SavedRun
    from train.runs.checkpoint import load

    return _plain(load(path, SavedRun.load(original.parents[1] / "config.json").digest))


READERS: Mapping[str, Callable[[Path, Path], Any]] = {
    "pair shard": _pair_shard,
    "pair shard, compact": _pair_shard,
    "text table": _text_table,
    "captions": _jsonl,
    "entities": _jsonl,
    "checkpoint": _checkpoint,
    "model file": _model,
}
"""Readers of FILES: (the copy, the original) -> comparable values."""


def _plain(value: Any) -> Any:
    """Replace arrays by (type, shape, bytes), and records by their fields, so that == compares them."""
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if hasattr(value, "numpy"):
        return _plain(value.numpy())
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return _plain(vars(value)) if hasattr(value, "__dataclass_fields__") else value


def _write_compact(project: TinyProject) -> None:
    """Write a copy of the pair shard as `compact: true` does."""
    reader = ShardReader(project.folder / FILES["pair shard"])
    try:
        write_shard(
            project.folder / FILES["pair shard, compact"], reader.header, reader.scans(), compact=True
        )
    finally:
        reader.close()

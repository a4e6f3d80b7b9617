"""`pairs/index.json`, the list of the pair shards beside it.

The index is removed before the first shard changes and written after the last. So if it exists, every shard
does. It needs no checksum: the trainer compares each fingerprint with the shard's own.

{"schema": 1, "dataset", "class_names", "labelled": {"protocol", "lists": {ratio: [scan id]}},
 "shards": [{"file", "split", "scans", "fingerprint"}]}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lass3d_core.errors import CorruptArtifact, MissingArtifact
from lass3d_core.files.json_files import read_json, write_json
from lass3d_core.files.names import is_plain
from lass3d_core.settings import read, to_json

SCHEMA = 1
NAME = "index.json"


@dataclass(frozen=True)
class IndexedShard:
    """A pair shard's file name, split, number of scans, and the fingerprint in its header."""

    file: str
    split: Literal["train", "val", "test"]
    scans: int
    fingerprint: str

    def __post_init__(self) -> None:
        if not is_plain(self.file):
            raise ValueError(f"{self.file!r} is not the name of a file beside the index")


@dataclass(frozen=True)
class LabelledLists:
    """The manifest's `labelled`, its lists read: ratio in percent, as written -> scan ids."""

    protocol: Literal["nested", "lists", "contiguous"]
    lists: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class PairIndex:
    """All pair shards of a data set, in the order of its scans."""

    dataset: str
    class_names: tuple[str, ...]
    labelled: LabelledLists
    shards: tuple[IndexedShard, ...]
    schema: int = SCHEMA

    def files(self, split: str) -> tuple[str, ...]:
        """The shard files of one split."""
        return tuple(shard.file for shard in self.shards if shard.split == split)


def write_index(folder: Path, index: PairIndex) -> None:
    """Write `folder`/index.json by an atomic rename. Raises StorageError."""
    write_json(folder / NAME, to_json(index))


def read_index(folder: Path) -> PairIndex:
    """Read `folder`/index.json. Raises MissingArtifact, CorruptArtifact."""
    path = folder / NAME
    try:
        index = read(PairIndex, read_json(path))
    except FileNotFoundError:
        raise MissingArtifact(f"{path} is missing: the pairs are not complete; run `make pairs`") from None
    except (OSError, ValueError) as error:
        raise CorruptArtifact(f"{path} is not a pair index ({error}); run `make pairs`") from None
    if index.schema != SCHEMA:
        raise CorruptArtifact(f"{path} has schema {index.schema}, not {SCHEMA}; run `make pairs`")
    return index

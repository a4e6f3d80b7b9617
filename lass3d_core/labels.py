"""Label spaces: the map between a data set's raw ids and the network's train ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from lass3d_core.errors import DataError

IGNORE = 255  # train id of points that are left out of losses and metrics

# How a mean over classes counts a class with no true and no predicted point: as 0, or not at all.
AbsentClasses = Literal["zero", "dropped"]


def class_phrase(class_name: str) -> str:
    """The class name as a phrase: "traffic-sign" and "traffic_sign" become "traffic sign"."""
    return class_name.replace("-", " ").replace("_", " ")


@dataclass(frozen=True)
class LabelSpace:
    """The C classes of a data set."""

    names: tuple[str, ...]  # train id -> name
    train_id_of_raw: Mapping[int, int]  # every raw id that may occur in a file -> train id or IGNORE
    raw_of_train_id: tuple[int, ...]  # train id -> the raw id in a submission
    colours: tuple[tuple[int, int, int], ...]  # train id -> (r, g, b)

    def __post_init__(self) -> None:
        count = len(self.names)
        if len(self.raw_of_train_id) != count or len(self.colours) != count:
            raise DataError(f"a label space of {count} names needs as many raw ids and colours")
        for train_id, raw in enumerate(self.raw_of_train_id):
            if self.train_id_of_raw.get(raw) != train_id:
                raise DataError(f"raw id {raw} of class {self.names[train_id]!r} does not map back to it")

    @cached_property
    def _table(self) -> np.ndarray:
        """Raw id -> train id; -1 if the raw id is unknown."""
        table = np.full(max(self.train_id_of_raw) + 1, -1, np.int16)
        for raw, train_id in self.train_id_of_raw.items():
            table[raw] = train_id
        return table

    def train_ids(self, raw: np.ndarray, where: str) -> np.ndarray:
        """Map raw ids (N,) of any integer type to train ids (N,) uint8.

        where: the file, for the message. Raises DataError, which names unknown ids.
        """
        in_table = (raw >= 0) & (raw < len(self._table))
        found = self._table[np.where(in_table, raw, 0)]
        unknown = np.unique(raw[~in_table | (found < 0)])
        if len(unknown):
            shown = ", ".join(map(str, unknown[:5]))
            raise DataError(f"{where}: unknown class id {shown}; the file is damaged or of another data set")
        return found.astype(np.uint8)

    def raw_ids(self, train_ids: np.ndarray) -> np.ndarray:
        """Map train ids (N,) to raw ids (N,) uint32 for a submission. IGNORE becomes 0."""
        table = np.zeros(256, np.uint32)
        table[: len(self.raw_of_train_id)] = self.raw_of_train_id
        return table[train_ids]

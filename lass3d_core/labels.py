"""Label spaces: the map between a data set's raw ids and the network's train ids."""

from __future__ import annotations

from collections.abc import Mapping
from colorsys import hsv_to_rgb
from dataclasses import dataclass
from functools import cached_property
from itertools import starmap
from typing import Literal

import numpy as np

from lass3d_core.errors import DataError
from lass3d_core.manifest.classes import ClassesSpec
from lass3d_core.settings import nearest

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
    train_id_of_raw: Mapping[int, int]  # every known raw id -> train id or IGNORE
    raw_of_train_id: tuple[int, ...]  # train id -> the raw id in a file of predictions
    colours: tuple[tuple[int, int, int], ...]  # train id -> (r, g, b)
    unknown: Literal["refuse", "ignore"] = "refuse"  # what becomes of every other raw id

    def __post_init__(self) -> None:
        count = len(self.names)
        if len(self.raw_of_train_id) != count or len(self.colours) != count:
            raise DataError(f"a label space of {count} names needs as many raw ids and colours")
        for train_id, raw in enumerate(self.raw_of_train_id):
            if self.train_id_of_raw.get(raw) != train_id:
                raise DataError(f"raw id {raw} of class {self.names[train_id]!r} does not map back to it")

    @cached_property
    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        """The known raw ids (K,) int64, ascending, and their train ids (K,) uint8."""
        known = np.array(sorted(self.train_id_of_raw), np.int64)
        return known, np.array([self.train_id_of_raw[raw] for raw in known.tolist()], np.uint8)

    def train_ids(self, raw: np.ndarray, where: str) -> np.ndarray:
        """Map raw ids (N,) of any integer type to train ids (N,) uint8.

        where: the file, for the message. Raises DataError, which names unknown ids with their counts.
        """
        known, train_ids = self._known
        nearest = np.minimum(np.searchsorted(known, raw), len(known) - 1)
        is_known = known[nearest] == raw
        if self.unknown == "refuse" and not is_known.all():
            raise DataError(f"{where}: {_unknown_ids(raw[~is_known])}")
        return np.where(is_known, train_ids[nearest], np.uint8(IGNORE))

    def raw_ids(self, train_ids: np.ndarray) -> np.ndarray:
        """Map train ids (N,) to raw ids (N,) uint32 for a file of predictions. IGNORE becomes 0."""
        table = np.zeros(256, np.uint32)
        table[: len(self.raw_of_train_id)] = self.raw_of_train_id
        return table[train_ids]


def own_label_space(spec: ClassesSpec, official: LabelSpace | None) -> LabelSpace:
    """The classes of the manifest; without `ids` the official ones, with the manifest's further wishes.

    Raises DataError if a colour or a synonym is of no class.
    """
    if spec.ids:
        names = tuple(spec.ids)
        raw = {raw: train_id for train_id, raws in enumerate(spec.ids.values()) for raw in raws}
        first, colours = tuple(raws[0] for raws in spec.ids.values()), chosen_colours(len(names))
    else:
        assert official is not None  # the schema asks for `ids` where a layout has no classes
        names, raw = official.names, dict(official.train_id_of_raw)
        first, colours = official.raw_of_train_id, official.colours
    for key, of_class in (("colours", spec.colours), ("synonyms", spec.synonyms)):
        for name in of_class:
            if name not in names:
                known = f"(known: {', '.join(names)}){nearest(name, names)}"
                raise DataError(f"classes.{key}: there is no class {name!r} {known}")
    given = [spec.colours.get(name, colour) for name, colour in zip(names, colours)]
    return LabelSpace(
        names,
        raw | dict.fromkeys(spec.ignore, IGNORE),
        first,
        tuple((r, g, b) for r, g, b in given),
        spec.unknown,
    )


def chosen_colours(count: int) -> tuple[tuple[int, int, int], ...]:
    """`count` colours (r, g, b), far apart in hue; the first ones stay if there are more."""
    golden = 0.61803398875  # of the circle of hues: each new hue falls into the largest gap
    hsv = (
        (number * golden % 1, (0.85, 0.55)[number % 2], (0.95, 0.75)[number // 2 % 2])
        for number in range(count)
    )
    return tuple((round(r * 255), round(g * 255), round(b * 255)) for r, g, b in starmap(hsv_to_rgb, hsv))


def _unknown_ids(raw: np.ndarray) -> str:
    ids, counts = np.unique(raw, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:8]
    shown = ", ".join(f"{ids[i]} ({counts[i]} point{'' if counts[i] == 1 else 's'})" for i in most)
    more = f" and {len(ids) - 8} more" if len(ids) > 8 else ""
    return (
        f"unknown class id{'' if len(ids) == 1 else 's'} {shown}{more}; map them in the manifest, "
        "`classes: {ids: {NAME: [...]}, ignore: [...]}`, or write `classes: {unknown: ignore}`; if these are "
        "no ids, the file is damaged"
    )

"""The 32 classes in nuScenes-lidarseg's label files and the 16 classes of its challenge."""

from __future__ import annotations

from pathlib import Path

from lass3d_core.datasets.nuscenes.records import records
from lass3d_core.errors import DataError
from lass3d_core.labels import IGNORE, LabelSpace

_CLASSES: tuple[tuple[str, tuple[int, int, int]], ...] = (
    ("barrier", (112, 128, 144)),
    ("bicycle", (220, 20, 60)),
    ("bus", (255, 127, 80)),
    ("car", (255, 158, 0)),
    ("construction_vehicle", (233, 150, 70)),
    ("motorcycle", (255, 61, 99)),
    ("pedestrian", (0, 0, 230)),
    ("traffic_cone", (47, 79, 79)),
    ("trailer", (255, 140, 0)),
    ("truck", (255, 99, 71)),
    ("driveable_surface", (0, 207, 191)),
    ("other_flat", (175, 0, 75)),
    ("sidewalk", (75, 0, 75)),
    ("terrain", (112, 180, 60)),
    ("manmade", (222, 184, 135)),
    ("vegetation", (0, 175, 0)),
)
"""Name and colour (r, g, b) of the classes 1 to 16 of the lidarseg challenge, as in nuscenes-devkit."""

_GENERAL_CLASSES: tuple[tuple[str, str | None], ...] = (
    ("noise", None),
    ("animal", None),
    ("human.pedestrian.adult", "pedestrian"),
    ("human.pedestrian.child", "pedestrian"),
    ("human.pedestrian.construction_worker", "pedestrian"),
    ("human.pedestrian.personal_mobility", None),
    ("human.pedestrian.police_officer", "pedestrian"),
    ("human.pedestrian.stroller", None),
    ("human.pedestrian.wheelchair", None),
    ("movable_object.barrier", "barrier"),
    ("movable_object.debris", None),
    ("movable_object.pushable_pullable", None),
    ("movable_object.trafficcone", "traffic_cone"),
    ("static_object.bicycle_rack", None),
    ("vehicle.bicycle", "bicycle"),
    ("vehicle.bus.bendy", "bus"),
    ("vehicle.bus.rigid", "bus"),
    ("vehicle.car", "car"),
    ("vehicle.construction", "construction_vehicle"),
    ("vehicle.emergency.ambulance", None),
    ("vehicle.emergency.police", None),
    ("vehicle.motorcycle", "motorcycle"),
    ("vehicle.trailer", "trailer"),
    ("vehicle.truck", "truck"),
    ("flat.driveable_surface", "driveable_surface"),
    ("flat.other", "other_flat"),
    ("flat.sidewalk", "sidewalk"),
    ("flat.terrain", "terrain"),
    ("static.manmade", "manmade"),
    ("static.other", None),
    ("static.vegetation", "vegetation"),
    ("vehicle.ego", None),
)
"""By raw id: the name in category.json, and the class of the challenge or None for ignore."""

_NAMES = tuple(name for name, _ in _CLASSES)
_CLASS_OF_RAW = tuple(name for _, name in _GENERAL_CLASSES)

LABEL_SPACE = LabelSpace(
    names=_NAMES,
    train_id_of_raw={
        raw: IGNORE if name is None else _NAMES.index(name) for raw, name in enumerate(_CLASS_OF_RAW)
    },
    raw_of_train_id=tuple(_CLASS_OF_RAW.index(name) for name in _NAMES),
    colours=tuple(colour for _, colour in _CLASSES),
)
"""Raw ids are the ids in the label files. A submission numbers the classes from 1 to 16 instead."""


def require_known_categories(path: Path) -> None:
    """Raise DataError if category.json numbers the 32 classes differently."""
    index_of = {one["name"]: one["index"] for one in records(path, ("name", "index"))}
    for index, (name, _) in enumerate(_GENERAL_CLASSES):
        if index_of.get(name) != index:
            raise DataError(
                f"{path}: the index of {name!r} is {index_of.get(name)}, expected {index}; "
                "take the category.json that comes with nuScenes-lidarseg"
            )

"""Whole configurations by name: a published recipe for each family of data sets, and short ones for a CPU.

To add a preset, write its function and one line in PRESETS. The settings of a method live beside the method.
Every preset says in `note` where its values come from, and how it differs from its source.
"""

from __future__ import annotations

from collections.abc import Callable

from lass3d_core.errors import UnknownName
from lass3d_core.manifest.schema import DatasetSpec
from lass3d_core.settings import nearest
from train.config import RunConfig
from train.presets.demo import demo, demo_room
from train.presets.drives import drives
from train.presets.published import nuscenes, scannet, semantickitti
from train.presets.street import street, street_room

# (data set, method, ratio in percent, seed) -> the run. Raises UnknownName for the method.
Preset = Callable[[str, str, float, int], RunConfig]

PAPER = "paper"  # the published recipe for the data set's reader: one word for every data set

_PUBLISHED: dict[str, Preset] = {"semantickitti": semantickitti, "scannet": scannet, "nuscenes": nuscenes}
PRESETS = {
    **_PUBLISHED,
    "demo": demo,
    "demo_room": demo_room,
    "street": street,
    "street_room": street_room,
    "drives": drives,
}

# Decision: the plain layout is taken for scans outdoors, for which most people write one; PRESET=scannet is
# the recipe for rooms.
_PAPER_OF = {**_PUBLISHED, "plain": semantickitti}

_PUBLISHED_BESIDE: dict[str, Preset] = {
    "demo": semantickitti,
    "demo_room": scannet,
    "street": semantickitti,
    "street_room": scannet,
    "drives": semantickitti,
}

_DEMO_OF = {"semantickitti": demo, "scannet": demo_room, "nuscenes": demo, "plain": demo}


def preset_for(name: str | None, spec: DatasetSpec) -> Preset:
    """The preset `name`; by default the demo for simulated data, the published recipe for real data.

    Raises UnknownName.
    """
    if name is None:
        return _paper_of(spec) if spec.simulate is None else demo_for(spec)
    if name == PAPER:
        return _paper_of(spec)
    if name not in PRESETS:
        known = (*PRESETS, PAPER)
        raise UnknownName(f"preset {name!r} does not exist; known: {', '.join(known)}{nearest(name, known)}")
    return PRESETS[name]


def demo_for(spec: DatasetSpec) -> Preset:
    """The short recipe for this kind of data: scans outdoors, or RGB-D rooms."""
    return _DEMO_OF.get(spec.reader, demo)


def _paper_of(spec: DatasetSpec) -> Preset:
    # Decision: a reader that another package brings is taken for scans outdoors, as the plain layout is.
    return _PAPER_OF.get(spec.reader, semantickitti)


def is_published(name: str) -> bool:
    """Whether the preset `name` is a published recipe, made for GPUs."""
    return name in _PUBLISHED


def published_beside(name: str) -> Preset:
    """The published recipe: the preset `name` itself, or the recipe that `name` shortens."""
    return _PUBLISHED_BESIDE.get(name) or PRESETS[name]

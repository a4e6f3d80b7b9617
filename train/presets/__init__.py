"""Whole configurations by name: a published recipe for each family of data sets, and short ones for a CPU.

To add one: its function, and its line in PRESETS. Variants are made with `dataclasses.replace`; the settings
of a method live beside the method. Every preset says in `note` where its values are from, and where it
departs.
"""

from __future__ import annotations

from collections.abc import Callable

from lass3d_core.errors import UnknownName
from lass3d_core.manifest.schema import DatasetSpec
from lass3d_core.settings import nearest
from train.config import RunConfig
from train.presets.demo import demo, demo_room
from train.presets.nuscenes import nuscenes
from train.presets.scannet import scannet
from train.presets.semantickitti import semantickitti

Preset = Callable[[str, str, float, int], RunConfig]
"""(data set, method, ratio in percent, seed) -> the run. Raises UnknownName for the method."""

PRESETS: dict[str, Preset] = {
    "semantickitti": semantickitti,
    "scannet": scannet,
    "nuscenes": nuscenes,
    "demo": demo,
    "demo_room": demo_room,
}

PAPER = "paper"
"""Stands for the published recipe of the data set's reader, so that one word works for every data set."""

_PUBLISHED = {"semantickitti": semantickitti, "scannet": scannet, "nuscenes": nuscenes}
_DEMO_OF = {"semantickitti": demo, "scannet": demo_room, "nuscenes": demo}


def preset_for(name: str | None, spec: DatasetSpec) -> Preset:
    """The preset `name`; without a name, the demo of a simulated data set and the published recipe of a real
    one.

    Raises UnknownName.
    """
    if name is None:
        return _PUBLISHED[spec.reader] if spec.simulate is None else demo_for(spec)
    if name == PAPER:
        return _PUBLISHED[spec.reader]
    if name not in PRESETS:
        known = (*PRESETS, PAPER)
        raise UnknownName(f"preset {name!r} does not exist; known: {', '.join(known)}{nearest(name, known)}")
    return PRESETS[name]


def demo_for(spec: DatasetSpec) -> Preset:
    """The short recipe for data of this kind: scans outdoors, or RGB-D rooms."""
    return _DEMO_OF[spec.reader]


def published_beside(name: str) -> Preset:
    """The published recipe that the preset `name` is, or that it is the short form of."""
    short = {"demo": semantickitti, "demo_room": scannet}
    return short.get(name) or PRESETS[name]

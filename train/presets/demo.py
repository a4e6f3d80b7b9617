"""Short schedules that train a small network on a CPU in minutes.

docs/results-demo.md says how they were chosen.
"""

from __future__ import annotations

from dataclasses import replace

from lass3d_core.nets import UNetConfig
from lass3d_core.nets.range_view import RangeImageConfig
from train.config import DataConfig, RunConfig
from train.data.augment import AugmentConfig
from train.methods import MethodConfig, config_type
from train.methods.cbst import CbstConfig
from train.methods.gpc import GpcConfig
from train.methods.lass3d import Lass3dConfig
from train.methods.lass3d_plus import Lass3dPlusConfig
from train.methods.lim3d import Lim3dConfig
from train.methods.parts.query import QueryConfig
from train.methods.sss_net import SssNetConfig
from train.optimiser import OptimConfig, ScheduleConfig
from train.presets.by_method import indoors, panoramas, unlabelled_scans


def demo(dataset: str, method: str, ratio: float, seed: int) -> RunConfig:
    """Outdoor scans of some thousand points, such as the simulated street's. Raises UnknownName."""
    settings = _short(config_type(method)())
    data = DataConfig(
        unlabelled_scans=unlabelled_scans(settings, 2),
        panorama=panoramas(settings),
        voxel_m=0.3,
        augment=AugmentConfig(keep=0.75, shift_m=0.0, jitter_m=0.01),
        workers=0,
    )
    parts = (settings, data, replace(_NET, image=_IMAGE), _OPTIM, _SCHEDULE)
    return RunConfig(dataset, "demo", ratio, seed, *parts, note=_NOTE.format(voxel="0.3 m"))


def demo_room(dataset: str, method: str, ratio: float, seed: int) -> RunConfig:
    """RGB-D rooms of some ten thousand points, such as the simulated ones. Raises UnknownName.

    Decision: voxels of 12 cm. With labels alone on 4 of 24 rooms and one seed they gave 40.5 % mIoU on
    validation rooms. Voxels of 8 cm, twice as many, gave 37.2 %. A distortion of 0.1 changed nothing
    (40.7 %).
    """
    settings = indoors(_short(config_type(method)()))
    data = DataConfig(
        unlabelled_scans=unlabelled_scans(settings, 2),
        voxel_m=0.12,
        from_corner=True,
        augment=AugmentConfig(keep=0.75, shift_m=0.0, jitter_m=0.005, tint=0.03),
        workers=0,
    )
    parts = (settings, data, _NET, _OPTIM, _SCHEDULE)
    return RunConfig(dataset, "demo_room", ratio, seed, *parts, note=_NOTE.format(voxel="0.12 m"))


def _short(settings: MethodConfig) -> MethodConfig:
    """The method's settings for a schedule of some hundred steps."""
    settings = replace(settings, alpha=0.95)
    if isinstance(settings, CbstConfig):
        return replace(settings, round_steps=40)
    if isinstance(settings, GpcConfig):
        return replace(settings, labels_first=30)
    if isinstance(settings, Lim3dConfig):
        return replace(settings, distil_from=220)
    if isinstance(settings, SssNetConfig):
        return replace(settings, round_steps=60)
    if isinstance(settings, Lass3dPlusConfig):
        # Decision: labels alone for 0.3 of the steps, as in the long presets. Trust in phrases does not rise
        # once they teach, and a teacher of 30 steps can say next to nothing of them.
        return replace(settings, labels_first=90, ramp_steps=30, query=QueryConfig(weight=1.0))
    return replace(settings, pe_form="single_pass") if isinstance(settings, Lass3dConfig) else settings


_NET = UNetConfig(stem=16, encoder=(24, 32, 48), decoder=(32, 32, 32), blocks=1, standardise_input=True)
_IMAGE = RangeImageConfig(32, 224, (-24.5, 6.5))  # a row for each beam of the street's LiDAR
_OPTIM = OptimConfig("adamw", peak_lr=1e-2, weight_decay=0.01, class_weights="inverse_sqrt")
_SCHEDULE = ScheduleConfig(300, "one_cycle", warm_up=0.15, validate_every=100, checkpoint_every=50)

_NOTE = (
    "The demo differs from the paper so that it takes some minutes on a CPU. The network has 0.5 M "
    "parameters, voxels of {voxel} and standardised inputs. It sees three quarters of the points. It trains "
    "for 300 steps of AdamW with one cycle up to 1e-2. The cross-entropy is weighted by the inverse root of "
    "class frequency, because rare classes are not learnt otherwise in so few steps. The teacher has alpha "
    "0.95, because the horizon of 0.999 is 1000 steps. Progressive negative learning has the form "
    "single_pass, because in the paper's form a step takes three times as long, and more optimiser steps "
    "than the controls. CBST's rounds have 40 steps and SSS-Net's 60, GPC contrasts from step 30 on and "
    "LiM3D distils from step 220 on. In LASS3D+ labels alone teach for 90 steps."
)

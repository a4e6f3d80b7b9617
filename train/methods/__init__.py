"""The training methods, one paper each. To add one: its file, and its line in METHODS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lass3d_core.errors import UnknownName
from lass3d_core.settings import nearest
from train.methods.cbst import Cbst, CbstConfig
from train.methods.contract import Ingredients, Method
from train.methods.cps import Cps, CpsConfig
from train.methods.gpc import Gpc, GpcConfig
from train.methods.ignet import Ignet, IgnetConfig
from train.methods.lasermix import LaserMix, LaserMixConfig
from train.methods.lass3d import Lass3d, Lass3dConfig
from train.methods.lass3d_plus import Lass3dPlus, Lass3dPlusConfig
from train.methods.lim3d import Lim3d, Lim3dConfig
from train.methods.mean_teacher import MeanTeacher, MeanTeacherConfig
from train.methods.sss_net import SssNet, SssNetConfig
from train.methods.supervised import Supervised, SupervisedConfig

MethodConfig = (
    SupervisedConfig
    | MeanTeacherConfig
    | CpsConfig
    | CbstConfig
    | GpcConfig
    | LaserMixConfig
    | Lim3dConfig
    | IgnetConfig
    | SssNetConfig
    | Lass3dConfig
    | Lass3dPlusConfig
)

METHODS: dict[str, tuple[type[Any], Callable[[Any, Ingredients], Method]]] = {
    "supervised": (SupervisedConfig, Supervised),
    "mean_teacher": (MeanTeacherConfig, MeanTeacher),
    "cps": (CpsConfig, Cps),
    "cbst": (CbstConfig, Cbst),
    "gpc": (GpcConfig, Gpc),
    "lasermix": (LaserMixConfig, LaserMix),
    "lim3d": (Lim3dConfig, Lim3d),
    "ignet": (IgnetConfig, Ignet),
    "sss_net": (SssNetConfig, SssNet),
    "lass3d": (Lass3dConfig, Lass3d),
    "lass3d_plus": (Lass3dPlusConfig, Lass3dPlus),
}
"""name -> (the type of its configuration, what builds it from one)"""


def config_type(name: str) -> type[MethodConfig]:
    """The configuration of the method `name`, its paper's values as defaults. Raises UnknownName."""
    if name not in METHODS:
        raise UnknownName(
            f"method {name!r} does not exist; known: {', '.join(METHODS)}{nearest(name, METHODS)}"
        )
    return METHODS[name][0]


def name_of(config: MethodConfig) -> str:
    """The name of the method that `config` configures."""
    return next(name for name, (of_method, _) in METHODS.items() if isinstance(config, of_method))


def make_method(config: MethodConfig, ingredients: Ingredients) -> Method:
    """The method of `config`, with freshly initialised networks."""
    _, make = METHODS[name_of(config)]
    return make(config, ingredients)

"""The training methods, one paper per file.

To add one, write its file and add its line to METHODS:

    @dataclass(frozen=True, config=SETTINGS)
    class MyConfig(MethodConfig):
        weight: NonNegativeFloat = 1.0          # `--set method.weight=0.5`

    class MyMethod(StudentAndTeacher):          # or AveragedNetwork, SelfTraining, Method
        def losses(self, batch, step):          # the named, weighted terms of the objective
            ...

    METHODS = {..., "my_method": (MyConfig, MyMethod)}

METHODS is the only list of our methods; other packages bring theirs by entry points (lass3d_core/plugins).
tests/train/methods/test_every_method.py checks every entry: its settings survive being written and
read, it trains, saves, loads and evaluates.
"""

from __future__ import annotations

from lass3d_core import plugins
from lass3d_core.errors import UnknownName
from lass3d_core.settings import nearest
from train.methods.cbst import Cbst, CbstConfig
from train.methods.contract import Ingredients, Method, MethodConfig
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

# Name -> class of the settings, class of the method.
METHODS: dict[str, tuple[type[MethodConfig], type[Method]]] = {
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


def config_type(name: str) -> type[MethodConfig]:
    """The class of the settings of the method `name`; its defaults are the paper's. Raises UnknownName."""
    known = (*METHODS, *plugins.names("methods"))
    if name not in known:
        raise UnknownName(f"method {name!r} does not exist; known: {', '.join(known)}{nearest(name, known)}")
    return _method(name)[0]


def name_of(config: MethodConfig) -> str:
    """The name of the method that `config` belongs to. Raises UnknownName for settings of no method."""
    for name in (*METHODS, *plugins.names("methods")):
        # Not isinstance: settings may derive from those of another method.
        if type(config) is _method(name)[0]:
            return name
    raise UnknownName(f"{type(config).__name__} is in no line of METHODS in train/methods/__init__.py")


def make_method(config: MethodConfig, ingredients: Ingredients) -> Method:
    """The method of `config`, with freshly initialised networks."""
    return _method(name_of(config))[1](config, ingredients)


def _method(name: str) -> tuple[type[MethodConfig], type[Method]]:
    """Our method of that name, or the one that another package brings."""
    if name in METHODS:
        return METHODS[name]
    brought: tuple[type[MethodConfig], type[Method]] = plugins.load("methods", name)
    return brought

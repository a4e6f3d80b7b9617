"""Long schedules for the simulated street and rooms: between the demo and the published recipes.

Here is also how the settings of a method follow from the number of steps: for these presets and for `drives`.
"""

from __future__ import annotations

from dataclasses import replace

from train.config import RunConfig
from train.methods import MethodConfig
from train.methods.cbst import CbstConfig
from train.methods.cps import CpsConfig
from train.methods.gpc import GpcConfig
from train.methods.ignet import IgnetConfig
from train.methods.lasermix import LaserMixConfig
from train.methods.lass3d import Lass3dConfig
from train.methods.lass3d_plus import Lass3dPlusConfig
from train.methods.lim3d import Lim3dConfig
from train.methods.mean_teacher import MeanTeacherConfig
from train.methods.sss_net import SssNetConfig
from train.optimiser import OptimConfig
from train.presets.demo import demo, demo_room


def street(dataset: str, method: str, ratio: float, seed: int) -> RunConfig:
    """The demo's data, network and optimiser with eight times the steps. Raises UnknownName."""
    return _longer(demo(dataset, method, ratio, seed), "street", _RATE_OUTDOORS, _NOISE_OUTDOORS)


def street_room(dataset: str, method: str, ratio: float, seed: int) -> RunConfig:
    """The same for RGB-D rooms. Raises UnknownName."""
    return _longer(demo_room(dataset, method, ratio, seed), "street_room", _RATE_INDOORS, _NOISE_INDOORS)


def _longer(short: RunConfig, name: str, rate: float, noise: float) -> RunConfig:
    """The recipe `short` with STEPS steps, and with the method's own schedule as long."""
    return replace(
        short,
        preset=name,
        method=scheduled(short.method, STEPS, noise, _PLUS_PSEUDO_LABELS),
        optim=replace(long_optim(short.optim), peak_lr=rate),
        schedule=replace(short.schedule, steps=STEPS, validate_every=500, checkpoint_every=250),
        note=_NOTE.format(voxel=f"{short.data.voxel_m} m", rate=rate, source=_SOURCE[name], noise=noise),
    )


def long_optim(short: OptimConfig) -> OptimConfig:
    """The demo's optimiser, with two rules that are the same for every method.

    Momentum and weight decay count once per step: the paper's form of LASS3D takes several updates in one.
    Decision: class weights count for labels alone. The methods' own files differ: the weights made CPS
    reinforce its own rare pseudo-labels, and others have them. One rule leaves the methods to be compared.
    """
    return replace(short, once_per_step=True, pseudo_label_weights="none")


def scheduled(settings: MethodConfig, steps: int, noise: float, plus_weight: float) -> MethodConfig:
    """The demo's settings of a method for `steps` steps: what it shortened is as large a share as published.

    noise: of student and teacher, see Mean Teacher's `noise`. plus_weight: `lambda_u` of LASS3D+, which
    gains on the simulated street with a value that loses on real drives.
    """
    # The teacher's horizon is a fifteenth of the schedule, as in the demo: 1 / (1 - alpha) = steps / 15.
    settings = replace(settings, alpha=1 - 15 / steps)
    # Decision: a fifth of the schedule. Mean Teacher's paper ramps over 40 000 of 150 000 to 180 000 steps.
    ramp = steps // 5
    # Decision: the first labels come twice as late as the peak of the learning rate, at 0.15 of the steps.
    # CBST's seven portions then fit into the rest.
    first, a_round = 3 * steps // 10, steps // 10
    match settings:
        case Lass3dPlusConfig():
            # Decision: phrases wait as long as CBST's labels. A teacher of a few steps is unsure, so a wrong
            # phrase overrules it, and stays learnt.
            return replace(settings, labels_first=first, ramp_steps=steps // 10, lambda_u=plus_weight)
        case MeanTeacherConfig():
            return replace(
                settings, ramp_steps=ramp, noise=noise, lambda_consistency=MEAN_TEACHER_CONSISTENCY
            )
        case Lim3dConfig():
            distil_from = round(steps * 200 / 275, -1)  # the published 200 of 275 epochs
            return replace(settings, ramp_steps=ramp, noise=noise, distil_from=int(distil_from))
        case CbstConfig() | SssNetConfig():
            return replace(settings, ramp_steps=ramp, first_round_steps=first, round_steps=a_round)
        case GpcConfig():
            return replace(settings, ramp_steps=ramp, labels_first=steps // 10)
        case Lass3dConfig():
            return replace(settings, ramp_steps=ramp, pe_form="paper", lambda_u=LASS3D_PSEUDO_LABELS)
        case LaserMixConfig():
            return replace(settings, ramp_steps=ramp, lambda_consistency=LASERMIX_CONSISTENCY)
        case IgnetConfig():
            return replace(settings, ramp_steps=ramp, lambda_consistency=IGNET_CONSISTENCY)
        case CpsConfig():
            return replace(settings, ramp_steps=ramp)
    return settings


STEPS = 2_000

# Outdoors: the best of four on supervised-only, seeds 100 and 101, validation split (docs/choices.md).
# Indoors: the demo's for now; it is still to be chosen in the same way.
_RATE_OUTDOORS, _RATE_INDOORS = 5e-3, 1e-2

_SOURCE = {
    "street": "That rate was the best of four on supervised-only, seeds 100 and 101, validation split.",
    "street_room": "That rate is the demo's; it is to be chosen on supervised-only.",
}

# Chosen on the street's validation split, seeds 100 and 101 (docs/choices.md). A hundredth of the published
# 250 and 200, which are for schedules of 25 000 steps and more; a tenth of IGNet's 1, which is guessed, and
# of LASS3D's 0.1; and 16 times the 1 of LASS3D+.
MEAN_TEACHER_CONSISTENCY, LASERMIX_CONSISTENCY, IGNET_CONSISTENCY = 2.5, 2.0, 0.1
LASS3D_PSEUDO_LABELS, _PLUS_PSEUDO_LABELS = 0.01, 16.0

# Decision: no paper gives such noise for points. These are a sixth of a voxel, and a few per cent.
_NOISE_OUTDOORS, _NOISE_INDOORS = 0.05, 0.02

_NOTE = (
    "Data, network and optimiser are the demo's: 0.5 M parameters, voxels of {voxel}, standardised "
    "inputs, three quarters of the points, AdamW with one cycle up to {rate:g}, cross-entropy weighted by "
    "the inverse root of class frequency. {source} It trains for 2000 steps. The teacher has alpha 0.9925. "
    "What a method learns from its own predictions rises over 400 steps, in LASS3D+ from step 600 on over "
    "200. LASS3D's progressive negative learning has the form paper; momentum and weight decay count once "
    "per step. Class weights count for labels alone. CBST and SSS-Net label from step 600 on, in rounds of "
    "200 steps; GPC contrasts from step 200 on and LiM3D distils from step 1450 on. Student and teacher of "
    "Mean Teacher and LiM3D have noise {noise} of their own. Consistency weighs 2.5 in Mean Teacher, 2 in "
    "LaserMix and 0.1 in IGNet; LASS3D's lambda_u is 0.01 and that of LASS3D+ 16."
)

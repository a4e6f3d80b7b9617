"""nuScenes: LaserMix's recipe for it, with the network of its SemanticKITTI recipe and the paper's method."""

from __future__ import annotations

import math

from lass3d_core.nets import UNetConfig
from lass3d_core.nets.range_view import RangeImageConfig
from train.config import DataConfig, RunConfig
from train.data.augment import AugmentConfig
from train.methods import config_type
from train.optimiser import OptimConfig, ScheduleConfig
from train.presets.unlabelled import panoramas, unlabelled_scans


def nuscenes(dataset: str, method: str, ratio: float, seed: int) -> RunConfig:
    """80 000 steps of 8 labelled and 8 unlabelled scans, voxels of 10 cm, SGD 0.24. Raises UnknownName.

    Decision: the paper does not train on nuScenes, and LaserMix publishes only a configuration of Cylinder3D
    for it. That one gives the batch, the number of steps and the augmentation. LaserMix's MinkUNet18 on
    SemanticKITTI gives the network and the optimiser. The voxel size is a guess: twice SemanticKITTI's, since
    nuScenes has half as many beams.
    """
    settings = config_type(method)()
    return RunConfig(
        dataset,
        "nuscenes",
        ratio,
        seed,
        settings,
        DataConfig(
            labelled_scans=2,
            unlabelled_scans=unlabelled_scans(settings, 2),
            panorama=panoramas(settings),
            accumulate=4,  # for four GPUs
            voxel_m=0.1,
            augment=AugmentConfig(yaw_rad=math.pi / 4, flip=0.5, scale=0.05, shift_m=0.1),
        ),
        UNetConfig(
            stem=32,
            encoder=(32, 64, 128, 256),
            decoder=(256, 128, 96, 96),
            blocks=2,
            image=RangeImageConfig(32, 1088, (-30.0, 10.0)),  # 32 beams, each of some 1085 points a turn
        ),
        OptimConfig("sgd", peak_lr=0.24, weight_decay=1e-4, nesterov=True),
        ScheduleConfig(
            steps=80_000, shape="cosine", warm_up=125 / 80_000, validate_every=2_000, checkpoint_every=500
        ),
        precision="bfloat16",
        note=_NOTE,
    )


_NOTE = (
    "Method: the paper's values (Sec. 4.2). The paper does not try them on nuScenes. Batch, number of steps "
    "and augmentation: LaserMix's published configuration of Cylinder3D for nuScenes. Network and optimiser: "
    "LaserMix's published configuration of MinkUNet18-w32 for SemanticKITTI. The voxel of 0.1 m, and that "
    "these two halves fit, are guesses. Differences: one GPU takes the four parts of a step one after "
    "another; mixed precision in bfloat16 instead of float16; no Lovász term; the classifier has a hidden "
    "layer, as the paper says."
)

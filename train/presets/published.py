"""The published recipes, one for each kind of data, with the paper's method."""

from __future__ import annotations

import math

from lass3d_core.nets import UNetConfig
from lass3d_core.nets.range_view import RangeImageConfig
from train.config import DataConfig, RunConfig
from train.data.augment import AugmentConfig
from train.methods import config_type
from train.optimiser import OptimConfig, ScheduleConfig
from train.presets.by_method import indoors, panoramas, unlabelled_scans


def semantickitti(dataset: str, method: str, ratio: float, seed: int) -> RunConfig:
    """LaserMix's MinkUNet18-w32 for SemanticKITTI and what has its layout. Raises UnknownName.

    25 000 steps of 8 labelled and 8 unlabelled scans, voxels of 5 cm, SGD 0.24.

    Decision: the paper follows "the basic experimental settings of LaserMix" (Sec. 4.2) and names no
    backbone. LaserMix trains two backbones on voxels; this is the sparse U-Net. The other is Cylinder3D with
    cylindrical voxels (240 x 180 x 20). It takes 45 000 steps of AdamW, weight decay 0.01, one cycle up to
    1e-3, with flips, yaw up to 45 degrees, scale 0.05 and shifts of 0.1 m.
    """
    settings = config_type(method)()
    data = DataConfig(
        labelled_scans=2,
        unlabelled_scans=unlabelled_scans(settings, 2),
        panorama=panoramas(settings),
        accumulate=4,  # for four GPUs
        voxel_m=0.05,
        augment=AugmentConfig(flip=0.0, scale=0.05, shift_m=0.0),
    )
    schedule = ScheduleConfig(
        25_000, "cosine", 125 / 25_000, validate_every=1_000, checkpoint_every=500, validate_scans=_VALIDATED
    )
    net = _minkunet18(RangeImageConfig(64, 2048, (-25.0, 3.0)))
    parts = (settings, data, net, _LASERMIX_OPTIM, schedule)
    return RunConfig(dataset, "semantickitti", ratio, seed, *parts, precision="bfloat16", note=_SEMANTICKITTI)


def nuscenes(dataset: str, method: str, ratio: float, seed: int) -> RunConfig:
    """LaserMix's recipe for nuScenes, with the network of its SemanticKITTI recipe. Raises UnknownName.

    80 000 steps of 8 labelled and 8 unlabelled scans, voxels of 10 cm, SGD 0.24.

    Decision: the paper does not train on nuScenes, and LaserMix publishes only a configuration of Cylinder3D
    for it. That one gives the batch, the number of steps and the augmentation. LaserMix's MinkUNet18 on
    SemanticKITTI gives the network and the optimiser. The voxel size is a guess: twice SemanticKITTI's, since
    nuScenes has half as many beams.
    """
    settings = config_type(method)()
    data = DataConfig(
        labelled_scans=2,
        unlabelled_scans=unlabelled_scans(settings, 2),
        panorama=panoramas(settings),
        accumulate=4,  # for four GPUs
        voxel_m=0.1,
        augment=AugmentConfig(yaw_rad=math.pi / 4, flip=0.5, scale=0.05, shift_m=0.1),
    )
    schedule = ScheduleConfig(
        80_000, "cosine", 125 / 80_000, validate_every=2_000, checkpoint_every=500, validate_scans=_VALIDATED
    )
    net = _minkunet18(RangeImageConfig(32, 1088, (-30.0, 10.0)))  # 32 beams, each of some 1085 points a turn
    parts = (settings, data, net, _LASERMIX_OPTIM, schedule)
    return RunConfig(dataset, "nuscenes", ratio, seed, *parts, precision="bfloat16", note=_NUSCENES)


def scannet(dataset: str, method: str, ratio: float, seed: int) -> RunConfig:
    """GPC (guided point contrast) for ScanNet and what has its layout. Raises UnknownName.

    38 000 steps of 16 labelled and 16 unlabelled crops, voxels of 2 cm, SGD 0.2.
    The paper follows GPC indoors (Sec. 4.2).
    """
    settings = indoors(config_type(method)())
    augment = AugmentConfig(
        flip=0.5,  # GPC mirrors x alone; under any yaw that is the same as mirroring both
        scale=0.0,
        distort=0.1,
        shift_m=0.0,
        # GPC counts in voxels of 2 cm: granularity 6 and 20, magnitude 40 and 160. Its code puts the
        # nodes two granularities apart.
        elastic_m=((0.24, 0.8), (0.8, 3.2)),
        tint=0.05,  # GPC: deviation 0.1 of colours in [-1, 1]; ours lie in [0, 1]
        crop_m=3.5,
    )
    data = DataConfig(
        labelled_scans=4,
        unlabelled_scans=unlabelled_scans(settings, 4),
        accumulate=4,  # for four GPUs
        voxel_m=0.02,
        from_corner=True,
        augment=augment,
    )
    net = UNetConfig(32, (64, 96, 128, 160, 192, 224), (192, 160, 128, 96, 64, 32), blocks=2)
    optim = OptimConfig("sgd", peak_lr=0.2, weight_decay=1e-4, nesterov=False)
    steps = 36_000 if ratio >= 40 else 38_000  # as GPC
    schedule = ScheduleConfig(
        steps, "poly", warm_up=0.0, validate_every=1_000, checkpoint_every=500, validate_scans=_VALIDATED
    )
    parts = (settings, data, net, optim, schedule)
    return RunConfig(dataset, "scannet", ratio, seed, *parts, precision="bfloat16", note=_SCANNET)


# Decision: a validation during training sees at most 400 scans. Whole, SemanticKITTI has 4 071 and nuScenes
# 6 019, and 25 to 40 validations would read them as often. Scans that follow each other show nearly the same
# place, so every tenth shows most of it. ScanNet's 312 scenes are seen whole. The run ends with all scans.
_VALIDATED = 400

_LASERMIX_OPTIM = OptimConfig("sgd", peak_lr=0.24, weight_decay=1e-4, nesterov=True)


def _minkunet18(image: RangeImageConfig) -> UNetConfig:
    return UNetConfig(32, (32, 64, 128, 256), (256, 128, 96, 96), blocks=2, image=image)


_SEMANTICKITTI = (
    "Method: the paper's values (Sec. 4.2). Everything else: LaserMix's published configuration of "
    "MinkUNet18-w32 for SemanticKITTI, which trains on four GPUs with 2 labelled and 2 unlabelled scans "
    "each; here one GPU takes the four parts of a step one after another. "
    "Differences: batch norm sees the labelled and the unlabelled scans of a part together; mixed precision "
    "in bfloat16 instead of float16; a voxel holds the mean of its points and their majority label instead "
    "of one point's; the classifier has a hidden layer, as the paper says; the teacher's alpha is the "
    "paper's 0.999, LaserMix has 0.99."
)

_NUSCENES = (
    "Method: the paper's values (Sec. 4.2). The paper does not try them on nuScenes. Batch, number of steps "
    "and augmentation: LaserMix's published configuration of Cylinder3D for nuScenes. Network and optimiser: "
    "LaserMix's published configuration of MinkUNet18-w32 for SemanticKITTI. The voxel of 0.1 m, and that "
    "these two halves fit, are guesses. Differences: one GPU takes the four parts of a step one after "
    "another; mixed precision in bfloat16 instead of float16; no Lovász term; the classifier has a hidden "
    "layer, as the paper says."
)

_SCANNET = (
    "Method: the paper's values (Sec. 4.2). Everything else: GPC's published configuration for ScanNet V2. "
    "Differences: one GPU takes a step in four parts; batch norm sees each part of 4 + 4 crops by itself, "
    "while GPC synchronises it over the whole batch; mixed precision in bfloat16 instead of full; one crop "
    "of each unlabelled scene instead of two that overlap; no 200 steps on labels alone at the start; "
    "residual blocks normalise after the convolution; two plain convolutions at full resolution before the "
    "encoder instead of two blocks; colours in [0, 1]; the loss is taken on voxels, labelled by the majority "
    "of their points; the classifier has a hidden layer, as the paper says. GPC reports the sum of three "
    "turned views at test time; figures here are of one view."
)

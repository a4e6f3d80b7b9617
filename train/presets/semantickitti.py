"""SemanticKITTI and what has its layout: LaserMix's recipe for MinkUNet18-w32, with the paper's method."""

from __future__ import annotations

from lass3d_core.nets import UNetConfig
from lass3d_core.nets.range_view import RangeImageConfig
from train.config import DataConfig, RunConfig
from train.data.augment import AugmentConfig
from train.methods import config_type
from train.optimiser import OptimConfig, ScheduleConfig
from train.presets.unlabelled import panoramas, unlabelled_scans


def semantickitti(dataset: str, method: str, ratio: float, seed: int) -> RunConfig:
    """25 000 steps of 8 labelled and 8 unlabelled scans, voxels of 5 cm, SGD 0.24. Raises UnknownName.

    Decision: the paper follows "the basic experimental settings of LaserMix" (Sec. 4.2) and names no
    backbone. LaserMix trains two backbones on voxels; this is the sparse U-Net. The other is Cylinder3D with
    cylindrical voxels (240 x 180 x 20). It takes 45 000 steps of AdamW, weight decay 0.01, one cycle up to
    1e-3, with flips, yaw up to 45 degrees, scale 0.05 and shifts of 0.1 m.
    """
    settings = config_type(method)()
    return RunConfig(
        dataset,
        "semantickitti",
        ratio,
        seed,
        settings,
        DataConfig(
            labelled_scans=2,
            unlabelled_scans=unlabelled_scans(settings, 2),
            panorama=panoramas(settings),
            accumulate=4,  # for four GPUs
            voxel_m=0.05,
            augment=AugmentConfig(flip=0.0, scale=0.05, shift_m=0.0),
        ),
        UNetConfig(
            stem=32,
            encoder=(32, 64, 128, 256),
            decoder=(256, 128, 96, 96),
            blocks=2,
            image=RangeImageConfig(64, 2048, (-25.0, 3.0)),
        ),
        OptimConfig("sgd", peak_lr=0.24, weight_decay=1e-4, nesterov=True),
        ScheduleConfig(
            steps=25_000, shape="cosine", warm_up=125 / 25_000, validate_every=1_000, checkpoint_every=500
        ),
        precision="bfloat16",
        note=_NOTE,
    )


_NOTE = (
    "Method: the paper's values (Sec. 4.2). Everything else: LaserMix's published configuration of "
    "MinkUNet18-w32 for SemanticKITTI, which trains on four GPUs with 2 labelled and 2 unlabelled scans "
    "each; here one GPU takes the four parts of a step one after another. "
    "Differences: batch norm sees the labelled and the unlabelled scans of a part together; mixed precision "
    "in bfloat16 instead of float16; a voxel holds the mean of its points and their majority label instead "
    "of one point's; the classifier has a hidden layer, as the paper says; the teacher's alpha is the "
    "paper's 0.999, LaserMix has 0.99."
)

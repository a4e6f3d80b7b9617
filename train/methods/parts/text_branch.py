"""SAFM and the distillation of Eq. (3) beside a segmenter that sees points alone.

Not the paper's arrangement, where the student itself has the text: here its features go two ways, to the
classifier that is kept and, with text, to one that is thrown away after training. Letters: M voxels, U of
them unlabelled, F channels, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from lass3d_core.nets.segmenter import make_classifier
from lass3d_core.paper import losses
from lass3d_core.paper.adapter import AdapterConfig, FusionAdapter
from lass3d_core.paper.safm import Safm, SafmConfig, TextBatch
from lass3d_core.records import NONE


@dataclass(frozen=True)
class TextBranchConfig:
    """weight: of the branch's own cross-entropy in the objective; 0 = no branch. Else the paper's values."""

    weight: float = 0.0
    lambda_kl: float = 0.1  # weight of Eq. (3); Sec. 4.2
    into_segmenter: bool = False  # Eq. (3) trains the features too, not its adapter alone
    dropout: float = 0.0  # share of the scans whose texts SAFM does not see in a step
    safm: SafmConfig = field(default_factory=SafmConfig)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)

    def __post_init__(self) -> None:
        for name in ("weight", "lambda_kl"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"dropout must lie in [0, 1], got {self.dropout}")


class TextBranch(nn.Module):
    """f_text = SAFM(f), a classifier of f_text, and an adapter that brings f near f_text, Eq. (3).

    What it teaches the features f is the gradient of that classifier's cross-entropy and, with
    `into_segmenter`, that of Eq. (3).
    """

    def __init__(self, config: TextBranchConfig, channels: int, num_classes: int, text_dim: int) -> None:
        super().__init__()
        self.config = config
        self.safm = Safm(config.safm, channels, text_dim)
        self.classifier = make_classifier(channels, num_classes)
        self.adapter = FusionAdapter(config.adapter, channels)

    def losses(
        self,
        f_3d: Tensor,
        image: Tensor,
        entity: Tensor,
        texts: TextBatch,
        targets: Tensor,
        unlabelled: Tensor,
        class_weights: Tensor | None,
    ) -> dict[str, Tensor]:
        """The weighted terms ce_text and kl_text of features (M,F), texts as SAFM takes them.

        targets (M,) int64: labels and pseudo-labels, 255 for none. unlabelled (M,) bool: where Eq. (3) looks.
        """
        config = self.config
        f_text = self.safm(f_3d, image, entity, texts)
        cross_entropy = losses.cross_entropy(self.classifier(f_text), targets, class_weights)
        f_ada = self.adapter(f_3d if config.into_segmenter else f_3d.detach())
        divergence = losses.feature_kl(f_text[unlabelled], f_ada[unlabelled])
        return {"ce_text": config.weight * cross_entropy, "kl_text": config.lambda_kl * divergence}


def without_dropped(text: Tensor, scan: Tensor, share: float, step: int) -> Tensor:
    """text (M,) int64, images or entities of voxels, with -1 on the voxels of scans whose texts are dropped.

    scan (M,) int64: slot of the voxel's scan in the batch. share: of the scans that are dropped.
    Decision: the draw hangs on step and slot, so that images and entities go together, a resumed run repeats
    it, and processes that share a batch draw as one does.
    """
    if not share:
        return text
    drawn = {slot: np.random.default_rng((step, slot)).random() for slot in scan.unique().tolist()}
    dropped = scan.new_tensor([slot for slot, number in drawn.items() if number < share])
    return text.masked_fill(torch.isin(scan, dropped), NONE)

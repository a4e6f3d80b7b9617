"""Supervised training on the labelled scans alone: the lower bound beside every other method."""

from __future__ import annotations

from pydantic.dataclasses import dataclass
from torch import Tensor

from lass3d_core.paper import losses
from lass3d_core.settings import SETTINGS
from train.methods.contract import MethodConfig, SemiBatch
from train.methods.parts.branches import AveragedNetwork


@dataclass(frozen=True, config=SETTINGS)
class SupervisedConfig(MethodConfig):
    """Only the horizon of the average."""


class Supervised(AveragedNetwork):
    """Eq. (7) alone."""

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l, Eq. (7)."""
        logits = self.network(batch.features, batch.pyramid)
        self.measures = {"labelled_points": batch.labelled_points}
        return {"ce_l": losses.cross_entropy(logits, batch.labels, self.class_weights)}

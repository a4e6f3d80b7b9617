"""Supervised training on the labelled scans: the lower bound that every other method stands beside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from lass3d_core.labels import IGNORE
from lass3d_core.paper import ema, losses
from train.methods.contract import Ingredients, SemiBatch


@dataclass(frozen=True)
class SupervisedConfig:
    """alpha: horizon of the averaged network that is evaluated."""

    alpha: float = 0.999  # that of the teachers it is compared with (Sec. 4.2)

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < 1:
            raise ValueError(f"alpha must lie in [0, 1), got {self.alpha}")


class Supervised(nn.Module):
    """Eq. (7) alone.

    Decision: the predictor is an exponential moving average of the network, as in the mean-teacher methods,
    so that a comparison measures the unlabelled scans and not the averaging.
    """

    def __init__(self, config: SupervisedConfig, ingredients: Ingredients) -> None:
        super().__init__()
        self.config = config
        self.network = ingredients.make_segmenter()
        self.averaged = ema.teacher_of(self.network)
        self.register_buffer("class_weights", ingredients.class_weights, persistent=False)
        self.measures: dict[str, float] = {}

    @property
    def predictor(self) -> nn.Module:
        """The moving average of the network."""
        return self.averaged

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l, Eq. (7)."""
        logits = self.network(batch.features, batch.pyramid)
        self.measures = {"labelled_points": float((batch.labels != IGNORE).sum())}
        return {"ce_l": losses.cross_entropy(logits, batch.labels, self.class_weights)}

    def further_losses(self, batch: SemiBatch, step: int) -> Iterator[dict[str, Tensor]]:
        """None."""
        return iter(())

    def after_step(self, step: int) -> None:
        """Eq. (1), running statistics included: the averaged network never sees a training batch itself."""
        ema.update_teacher(self.averaged, self.network, self.config.alpha, step)
        ema.update_buffers(self.averaged, self.network, self.config.alpha, step)

"""Cross pseudo supervision (Chen et al., CVPR 2021), on point clouds: two networks teach each other.

Two networks f1, f2 of one shape and two initialisations see the same cloud:
    L = CE(f1(x_l), y) + CE(f2(x_l), y) + lambda [CE(f1(x), argmax f2(x)) + CE(f2(x), argmax f1(x))]
x_l are the labelled points, x all of them. The pseudo-labels are hard, of every point and without a
threshold, and no gradient flows through them. lambda is 1.5, that of Pascal VOC; Cityscapes has 6.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from lass3d_core.labels import IGNORE
from lass3d_core.paper import ema, losses
from train.methods.contract import Ingredients, SemiBatch


@dataclass(frozen=True)
class CpsConfig:
    """lambda_cps: weight of the cross pseudo supervision. alpha: horizon of the network that is evaluated."""

    revision: ClassVar[int] = 1  # see SavedRun.record; class weights left the pseudo-labels

    lambda_cps: float = 1.5  # Sec. 4 of the paper, Pascal VOC
    alpha: float = 0.999  # that of the supervised control; 0 evaluates the first network itself, as the paper

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < 1:
            raise ValueError(f"alpha must lie in [0, 1), got {self.alpha}")
        if self.lambda_cps < 0:
            raise ValueError(f"lambda_cps must not be negative, got {self.lambda_cps}")


class Cps(nn.Module):
    """Decisions. The predictor is a moving average of the first network, as in the supervised control, so
    that a comparison measures the second network and not the averaging. One optimiser moves both networks,
    which is the same as two, but for a gradient clipped to the norm of both. The class weights of the recipe
    count for labels alone. On pseudo-labels without a threshold they feed on themselves: what one network
    takes for a rare class weighs more with the other, and soon both see it everywhere (docs/results.md).
    """

    def __init__(self, config: CpsConfig, ingredients: Ingredients) -> None:
        super().__init__()
        self.config = config
        self.first, self.second = (ingredients.make_segmenter() for _ in range(2))
        self.averaged = ema.teacher_of(self.first)
        self.register_buffer("class_weights", ingredients.class_weights, persistent=False)
        self.measures: dict[str, float] = {}

    @property
    def predictor(self) -> nn.Module:
        """The moving average of the first network."""
        return self.averaged

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l, of both networks, and cps."""
        first = self.first(batch.features, batch.pyramid)
        second = self.second(batch.features, batch.pyramid)
        of_first, of_second = first.argmax(dim=1), second.argmax(dim=1)
        self.measures = {
            "labelled_points": float((batch.labels != IGNORE).sum()),
            "agreement": float((of_first == of_second).float().mean()),
        }
        supervised = sum(
            losses.cross_entropy(logits, batch.labels, self.class_weights) for logits in (first, second)
        )
        crossed = losses.cross_entropy(first, of_second) + losses.cross_entropy(second, of_first)
        return {"ce_l": supervised, "cps": self.config.lambda_cps * crossed}

    def further_losses(self, batch: SemiBatch, step: int) -> Iterator[dict[str, Tensor]]:
        """None."""
        return iter(())

    def after_step(self, step: int) -> None:
        """The average follows the first network, running statistics included."""
        ema.update_teacher(self.averaged, self.first, self.config.alpha, step)
        ema.update_buffers(self.averaged, self.first, self.config.alpha, step)

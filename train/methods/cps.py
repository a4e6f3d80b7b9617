"""Cross pseudo supervision (Chen et al., CVPR 2021), on point clouds: two networks teach each other.

Two networks f1, f2 of one shape and two initialisations see the same cloud:
    L = CE(f1(x_l), y) + CE(f2(x_l), y) + lambda [CE(f1(x), argmax f2(x)) + CE(f2(x), argmax f1(x))]
x_l: labelled points, x: all points. Every point has a hard pseudo-label, without a threshold. No gradient
flows through the pseudo-labels. lambda is 1.5, the value for Pascal VOC; for Cityscapes it is 6. In the paper
it is constant; with `ramp_steps` it rises from 0.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import NonNegativeFloat, NonNegativeInt
from pydantic.dataclasses import dataclass
from torch import Tensor

from lass3d_core.paper import losses
from lass3d_core.settings import SETTINGS
from train.methods.contract import Ingredients, MethodConfig, SemiBatch
from train.methods.parts.branches import AveragedNetwork
from train.methods.parts.ramp import ramp


@dataclass(frozen=True, config=SETTINGS)
class CpsConfig(MethodConfig):
    """Defaults: as published, on images."""

    revision: ClassVar[int] = 1  # see SavedRun.record; class weights left the pseudo-labels

    lambda_cps: NonNegativeFloat = 1.5  # weight of the cross pseudo supervision; Sec. 4, Pascal VOC
    ramp_steps: NonNegativeInt = 0  # steps over which that weight rises from 0; 0: none, as the paper


class Cps(AveragedNetwork):
    """The first network, whose average is evaluated, and the second one.

    Decision: one optimiser trains both networks. Two would do the same, except that the gradient is clipped
    by the norm over both.
    Decision: unless the recipe says otherwise, class weights count for labels alone. On pseudo-labels without
    a threshold they reinforce themselves: a point that one network takes for a rare class weighs more in the
    other, and soon both predict that class everywhere.
    """

    weighs_pseudo_labels = False

    def __init__(self, config: CpsConfig, ingredients: Ingredients) -> None:
        super().__init__(config, ingredients)
        self.second = ingredients.make_segmenter()

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """ce_l, of both networks, and cps."""
        first = self.network(batch.features, batch.pyramid)
        second = self.second(batch.features, batch.pyramid)
        of_first, of_second = first.argmax(dim=1), second.argmax(dim=1)
        agreement = (of_first == of_second).float().mean()
        self.measures = {"labelled_points": batch.labelled_points, "agreement": agreement}
        supervised = losses.cross_entropy(first, batch.labels, self.class_weights)
        supervised = supervised + losses.cross_entropy(second, batch.labels, self.class_weights)
        weights = self.pseudo_label_weights
        crossed = losses.cross_entropy(first, of_second, weights)
        crossed = crossed + losses.cross_entropy(second, of_first, weights)
        weight = ramp(step, self.config.ramp_steps) * self.config.lambda_cps
        return {"ce_l": supervised, "cps": weight * crossed}

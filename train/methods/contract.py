"""What a training method is given and what the loop asks of it; nothing else is shared between methods.

Letters: M voxels of the batch, C classes, F input features, D text dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lass3d_core.compute.packing import pack, unpack
from lass3d_core.nets.segmenter import Segmenter, make_classifier
from lass3d_core.paper.safm import TextBatch
from lass3d_core.sparse.maps import KernelPyramid
from train.methods.parts.label_prior import PhraseCounts


@dataclass(frozen=True)
class SemiBatch:
    """Labelled and unlabelled scans of one step in one sparse tensor; student and teacher see the same cloud.

    The labelled scans come first.
    features (M,F) float32. pyramid: coordinates and kernel maps of every level. labels (M,) int64 train ids,
    255 where ignored and on every voxel of an unlabelled scan. is_labelled (M,) bool: the voxel belongs to a
    labelled scan. scan (M,) int64: the slot of the voxel's scan in the batch; where several processes share a
    batch, each has some of its slots. image (M,) int64: slot into texts' images, -1
    none. entity (M,) int64: row of texts.entity_rows, -1 none. phrase (M,) int64: the same phrase by its row
    in the whole text table, which means the same in every batch, -1 none.
    """

    features: Tensor
    pyramid: KernelPyramid
    labels: Tensor
    is_labelled: Tensor
    scan: Tensor
    image: Tensor
    entity: Tensor
    phrase: Tensor
    texts: TextBatch

    def to(self, device: torch.device) -> SemiBatch:
        """The same batch on `device`. From pinned memory the copy is under way when this returns."""
        return SemiBatch(
            **{field.name: getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)}
        )

    def pin_memory(self) -> SemiBatch:
        """The same batch in memory that a GPU reads by itself; a loader's `pin_memory` calls this."""
        return SemiBatch(**{field.name: getattr(self, field.name).pin_memory() for field in fields(self)})

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, Tensor]]:
        """Pack all tensors into one, for the way from a loader's worker to the trainer."""
        return unpack, pack(self)

    @property
    def unlabelled(self) -> slice:
        """The voxels of unlabelled scans: all after those of labelled ones."""
        return slice(int(self.is_labelled.sum()), None)


def to_floats(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Scalars as numbers, brought from their device together, so that it is waited for once."""
    if not values:
        return {}
    return dict(zip(values, torch.stack([value.detach().double() for value in values.values()]).tolist()))


@dataclass(frozen=True)
class Ingredients:
    """What a method builds its networks from.

    make_backbone: a freshly initialised backbone, `forward(features (M,F), pyramid) -> (M, out_channels)`.
    class_weights (C,) float32 of the supervised cross-entropy, or None for equal weights. phrase_counts: what
    the labelled scans say of phrases, read when it is called; None where there is no text.
    """

    make_backbone: Callable[[], nn.Module]
    num_classes: int
    text_dim: int
    class_weights: Tensor | None
    phrase_counts: Callable[[], PhraseCounts] | None = None

    def make_segmenter(self) -> Segmenter:
        """A freshly initialised branch without adapter: backbone and classifier."""
        backbone = self.make_backbone()
        return Segmenter(backbone, nn.Identity(), make_classifier(backbone.out_channels, self.num_classes))


class Method(Protocol):
    """A method is an nn.Module: state that must survive a restart is its parameters, buffers and submodules.

    predictor: the module that is evaluated, `forward(features, pyramid) -> logits (M,C)`: points, no text.
    measures: figures of the last batch that are no loss (reliable share, number of points), for the log.
    A step of several micro-batches calls `losses` and `further_losses` for each of them in turn.
    """

    predictor: nn.Module
    measures: dict[str, float]

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """The named terms of the objective, each weighted already; the loop sums (Eq. 9) and logs them."""

    def further_losses(self, batch: SemiBatch, step: int) -> Iterator[dict[str, Tensor]]:
        """Objectives of inner rounds, often none; the loop takes and counts an optimiser step after each.

        Called right after `losses` of the same batch. The rounds are taken when other batches have had their
        turn, so what they need of this one is to be remembered by what is returned, not by the method.
        """

    def after_step(self, step: int) -> None:
        """Called once per outer step, after the last optimiser step (Eq. 1 lives here)."""

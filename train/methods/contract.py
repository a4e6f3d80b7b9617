"""What a training method gets and what the training loop asks of it.

Letters: M voxels of the batch, C classes, F input features, D text dimension.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal

import numpy as np
import pydantic.dataclasses
import torch
from pydantic import Field
from torch import Tensor, nn

from lass3d_core.compute.packing import pack, unpack
from lass3d_core.labels import IGNORE
from lass3d_core.nets.segmenter import Segmenter, make_classifier
from lass3d_core.paper.safm import TextBatch
from lass3d_core.settings import SETTINGS
from lass3d_core.sparse.maps import KernelPyramid
from train.methods.parts.label_prior import PhraseCounts
from train.methods.parts.votes import PhraseVotes

Measures = Mapping[str, Tensor | float]
"""Figures of a batch that are no loss. A scalar tensor stays on the device until the step is read."""


@dataclass(frozen=True)
class BatchCounts:
    """What the host knows of a batch, in numbers, so that no step waits for a GPU to tell it.

    slots: the number of each scan of this process in the batch, over all processes that share the batch.
    voxels: of each scan, in the same order. A scan's voxels lie behind those of the scan before it.
    labelled_scans: how many of these scans are labelled. They come first.
    image_voxels: voxels of each image of the batch.
    named, captioned: voxels with a phrase, and voxels with a caption alone.
    unlabelled_image_voxels: voxels of each image, in unlabelled scans alone.
    """

    slots: tuple[int, ...]
    voxels: tuple[int, ...]
    labelled_scans: int
    image_voxels: tuple[int, ...]
    named: int
    captioned: int
    unlabelled_image_voxels: tuple[int, ...]

    @classmethod
    def of(cls, scan: Tensor, is_labelled: Tensor, image: Tensor, entity: Tensor, images: int) -> BatchCounts:
        """Count a batch of `images` images; scan, is_labelled, image, entity (M,): see SemiBatch.

        Called where the batch is made, on the host: on a device it waits.
        """
        # In numpy: PyTorch's `unique_consecutive` takes milliseconds on a CPU.
        scans, pictures = scan.numpy(force=True), image.numpy(force=True)
        named = entity.numpy(force=True) >= 0
        starts = np.flatnonzero(np.concatenate([[True], scans[1:] != scans[:-1]])[: len(scans)])
        voxels = np.diff(starts, append=len(scans))
        of_labelled = is_labelled.numpy(force=True)
        every, unlabelled = (
            np.bincount(shown + 1, minlength=images + 1)[1:] for shown in (pictures, pictures[~of_labelled])
        )
        counts = scans[starts], voxels, every, unlabelled
        slots, sizes, of_images, of_unlabelled = (tuple(one.tolist()) for one in counts)
        labelled, alone = int(of_labelled[starts].sum()), (pictures >= 0) & ~named
        return cls(slots, sizes, labelled, of_images, int(named.sum()), int(alone.sum()), of_unlabelled)

    @property
    def rows(self) -> dict[int, slice]:
        """The rows of each scan by its slot, in the order of the batch."""
        ends = itertools.accumulate(self.voxels)
        return {slot: slice(end - size, end) for slot, end, size in zip(self.slots, ends, self.voxels)}

    @property
    def pairs(self) -> Sequence[tuple[int, int]]:
        """The slots of the n-th labelled and the n-th unlabelled scan, as long as both kinds last."""
        return list(zip(self.slots[: self.labelled_scans], self.slots[self.labelled_scans :]))


@dataclass(frozen=True)
class SemiBatch:
    """Labelled and unlabelled scans of one step in one sparse tensor. The labelled scans come first.

    Student and teacher see the same cloud.
    features (M,F) float32: x, y, z in metres come first.
    pyramid: coordinates and kernel maps of every level. A loader for a GPU leaves the maps to `to`.
    labels (M,) int64: train ids; 255 where ignored and on every voxel of an unlabelled scan.
    is_labelled (M,) bool: the voxel belongs to a labelled scan.
    scan (M,) int64: the number of the voxel's scan in the batch, over all processes that share the batch.
    image (M,) int64: index of the voxel's image in `texts`, -1 for none.
    entity (M,) int64: row of the voxel's phrase in texts.entity_rows, -1 for none.
    votes: the phrases of each voxel, as rows of the whole text table, which are the same in every batch. The
        strongest is the phrase of `entity`.
    counts: how many voxels the scans and images have, on the host.
    """

    features: Tensor
    pyramid: KernelPyramid
    labels: Tensor
    is_labelled: Tensor
    scan: Tensor
    image: Tensor
    entity: Tensor
    votes: PhraseVotes
    texts: TextBatch
    counts: BatchCounts

    def to(self, device: torch.device) -> SemiBatch:
        """The same batch on `device`. From pinned memory the copy may still run when this returns.

        Kernel maps that the loader did not build are built there, and indices are int64 again.
        """
        moved = self._moved(lambda column: column.to(device, non_blocking=True))
        return moved._with_indices(torch.int64)

    def narrowed(self) -> SemiBatch:
        """The same batch with int32 instead of int64, as a loader sends it to a GPU. Only `to` is for it."""
        return self._with_indices(torch.int32)

    def _with_indices(self, dtype: torch.dtype) -> SemiBatch:
        columns = {name: getattr(self, name).to(dtype) for name in ("labels", "scan", "image", "entity")}
        votes = replace(self.votes, phrase=self.votes.phrase.to(dtype))
        return replace(self, **columns, votes=votes)

    def pin_memory(self) -> SemiBatch:
        """The same batch in pinned memory. A loader with `pin_memory=True` calls this."""
        return self._moved(lambda column: column.pin_memory())

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, Tensor]]:
        """Pack all tensors into one, for the way from a loader's worker to the trainer."""
        return unpack, pack(self)

    @property
    def phrase(self) -> Tensor:
        """The row of the voxel's phrase in the whole text table, (M,) int64; -1 for none."""
        return self.votes.strongest

    @property
    def labelled_voxels(self) -> int:
        """The number of voxels of labelled scans."""
        return sum(self.counts.voxels[: self.counts.labelled_scans])

    @property
    def labelled(self) -> slice:
        """The voxels of the labelled scans."""
        return slice(0, self.labelled_voxels)

    @property
    def unlabelled(self) -> slice:
        """The voxels of the unlabelled scans."""
        return slice(self.labelled_voxels, None)

    @property
    def labelled_points(self) -> Tensor:
        """The number of voxels that have a label, () int64."""
        return (self.labels != IGNORE).sum()

    def _moved(self, move: Callable[[Any], Any]) -> SemiBatch:
        names = [field.name for field in fields(self) if field.name != "counts"]
        return replace(self, **{name: move(getattr(self, name)) for name in names})


PseudoLabelWeights = Literal["as_published", "labels", "none"]
"""Whether class weights count in a cross-entropy with pseudo-labels; see Method.pseudo_label_weights."""


@dataclass(frozen=True)
class Ingredients:
    """What a method builds its networks from.

    make_backbone: makes a freshly initialised backbone, see lass3d_core/nets/__init__.py.
    class_weights (C,) float32: weights of the supervised cross-entropy; None for equal weights.
    phrase_counts: counts the phrases of the labelled scans when it is called; None without text.
    pseudo_label_weights: the recipe's rule, see Method.
    """

    make_backbone: Callable[[], nn.Module]
    num_classes: int
    text_dim: int
    class_weights: Tensor | None
    phrase_counts: Callable[[], PhraseCounts] | None = None
    pseudo_label_weights: PseudoLabelWeights = "as_published"

    def make_segmenter(self) -> Segmenter:
        """A freshly initialised network without adapter: backbone and classifier."""
        backbone = self.make_backbone()
        return Segmenter(backbone, nn.Identity(), make_classifier(channels_of(backbone), self.num_classes))


def channels_of(backbone: nn.Module) -> int:
    """The number of feature channels that `backbone` returns for each voxel."""
    channels: Any = backbone.out_channels
    return int(channels)


Share = Annotated[float, Field(ge=0, le=1)]  # a confidence, a threshold, a part of a whole


@pydantic.dataclasses.dataclass(frozen=True, config=SETTINGS)
class MethodConfig:
    """Base of the settings of every method."""

    # Horizon of the network that is evaluated, a moving average: Eq. (1). 0: no averaging. Sec. 4.2.
    alpha: float = Field(default=0.999, ge=0, lt=1)

    @property
    def reads_text(self) -> bool:
        """Whether training depends on the table of text rows. It is then part of what identifies a run."""
        return False

    @property
    def reads_synonyms(self) -> bool:
        """Whether training depends on the manifest's synonyms. They then are part of it, too."""
        return False


class Method(nn.Module):
    """Base of every method: what the training loop calls.

    State that must survive a restart is a parameter, a buffer or a submodule. A subclass calls this
    constructor before it makes its networks.
    measures: figures of the last batch that are no loss (share of reliable points, ...), for the log. They
        are read with the losses, once per step: a method that calls `float` on a tensor waits for the GPU.
    class_weights: see Ingredients. No part of a checkpoint: they follow from the labels.
    weighs_pseudo_labels: whether the method's own file weighs pseudo-labels by class as it does labels.
    """

    weighs_pseudo_labels: bool = True

    config: Any
    measures: dict[str, Tensor | float]
    class_weights: Tensor | None

    def __init__(self, config: MethodConfig, ingredients: Ingredients) -> None:
        super().__init__()
        self.config = config
        self.measures = {}
        self.register_buffer("class_weights", ingredients.class_weights, persistent=False)
        self._rule: PseudoLabelWeights = ingredients.pseudo_label_weights

    @property
    def pseudo_label_weights(self) -> Tensor | None:
        """The class weights (C,) of every cross-entropy with pseudo-labels; None for equal weights.

        The rule of the recipe, optim.pseudo_label_weights: `labels`: as the labels have them. `none`: equal.
        `as_published`: as the method's own file says, `weighs_pseudo_labels`; so it differs by method.
        With equal weights of the labels all rules are the same.
        """
        weighed = self.weighs_pseudo_labels if self._rule == "as_published" else self._rule == "labels"
        return self.class_weights if weighed else None

    @property
    def predictor(self) -> nn.Module:
        """The network that is evaluated: `forward(features, pyramid) -> logits (M,C)`, without text."""
        raise NotImplementedError

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        """The named terms of the objective, already weighted. The loop adds them, Eq. (9), and logs each."""
        raise NotImplementedError

    def further_losses(self, batch: SemiBatch, step: int) -> Iterator[dict[str, Tensor]]:
        """Objectives of inner rounds; the optimiser takes a step after each. Most methods have none.

        Called right after `losses` of the same batch, but consumed after `losses` of the other micro-batches
        of the step: keep the state of a batch in the iterator, not on self.
        """
        return iter(())

    def after_step(self, step: int) -> None:
        """Called once per step, after the last update of the optimiser. Eq. (1) belongs here."""
        raise NotImplementedError

    def hear(self, step: int, measured: Sequence[Mapping[str, float]]) -> None:
        """Called at the end of a step with the measures of each micro-batch, as numbers. Most need none."""

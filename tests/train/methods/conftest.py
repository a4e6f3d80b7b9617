"""A batch of four small scans, two of them labelled, and a backbone that trains in no time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lass3d_core.paper.safm import TextBatch
from lass3d_core.sparse.maps import KernelPyramid, build_pyramid
from tests.phrase_counts import counts_of
from train.methods.contract import BatchCounts, Ingredients, SemiBatch
from train.methods.lass3d import Lass3d, Lass3dConfig
from train.methods.parts.label_prior import PhraseCounts
from train.methods.parts.votes import PhraseVotes

CLASSES, TEXT_DIM, FEATURES = 5, 16, 4


class PointwiseBackbone(nn.Module):
    """Every voxel by itself: what the methods do with features does not depend on where they come from."""

    out_channels = 12

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, self.out_channels)
        self.norm = nn.BatchNorm1d(self.out_channels)

    def forward(self, features: Tensor, pyramid: KernelPyramid) -> Tensor:
        return torch.relu(self.norm(self.linear(features)))


@pytest.fixture
def ingredients() -> Ingredients:
    torch.manual_seed(0)
    return Ingredients(PointwiseBackbone, CLASSES, TEXT_DIM, None, phrase_counts)


def phrase_counts() -> PhraseCounts:
    """Two scenes; phrase p < 5 is on ten points of class p and two of each other one, phrase 5 on none."""
    counts = torch.cat([8 * torch.eye(CLASSES) + 2, torch.zeros(1, CLASSES)])
    return counts_of(counts.expand(2, -1, -1), rows=torch.eye(6, TEXT_DIM))


@pytest.fixture
def make_lass3d(ingredients: Ingredients) -> Callable[[Lass3dConfig], Lass3d]:
    """LASS3D, always the same, in which text and adapter already matter: no last layer is zero any more."""

    def make(config: Lass3dConfig) -> Lass3d:
        torch.manual_seed(0)
        method = Lass3d(config, ingredients)
        for module in (getattr(method, "safm", nn.Identity()), method.teacher.adapter):
            for parameter in module.parameters():
                nn.init.normal_(parameter, std=0.2)
        return method

    return make


@pytest.fixture
def make_texts() -> Callable[[int], TextBatch]:
    """Texts of four images and six phrases, from a seed."""

    def make(seed: int) -> TextBatch:
        generator = torch.Generator().manual_seed(seed)
        image_rows, pooled, phrases = (
            torch.randn(count, TEXT_DIM, generator=generator) for count in (12, 4, 6)
        )
        return TextBatch(image_rows, (0, 2, 5, 9, 12), pooled, phrases)

    return make


@pytest.fixture
def of_rows() -> Callable[[SemiBatch, Tensor], SemiBatch]:
    """The voxels of a batch that are marked (M,) bool, as a batch of their own, with all its texts."""

    def of(batch: SemiBatch, rows: Tensor) -> SemiBatch:
        names = ("features", "labels", "is_labelled", "scan", "image", "entity", "votes")
        columns = {name: getattr(batch, name)[rows] for name in names}
        counts = BatchCounts.of(
            columns["scan"],
            columns["is_labelled"],
            columns["image"],
            columns["entity"],
            len(batch.texts.image_pooled),
        )
        pyramid = build_pyramid(batch.pyramid.coords[0][rows], batch.pyramid.levels)
        return replace(batch, **columns, pyramid=pyramid, counts=counts)

    return of


@pytest.fixture
def batch(make_texts: Callable[[int], TextBatch]) -> SemiBatch:
    """60 voxels in each of four scans; 0 and 1 are labelled, with classes that the features tell apart."""
    generator = torch.Generator().manual_seed(1)
    scan = torch.arange(4).repeat_interleave(60)
    truth = torch.randint(0, CLASSES, (240,), generator=generator)
    prototypes = torch.randn(CLASSES, FEATURES, generator=generator) * 2
    place = torch.arange(60).repeat(4)
    coords = torch.stack([scan, place % 4, place // 4 % 4, place // 16], dim=1).int()
    is_labelled = scan < 2
    has_image = torch.rand(240, generator=generator) < 0.6
    return SemiBatch(
        features=prototypes[truth] + 0.3 * torch.randn(240, FEATURES, generator=generator),
        pyramid=build_pyramid(coords, 1),
        labels=truth.masked_fill(~is_labelled, 255),
        is_labelled=is_labelled,
        scan=scan,
        image=(image := scan.masked_fill(~has_image, -1)),
        entity=(entity := torch.randint(-1, 6, (240,), generator=generator)),
        votes=PhraseVotes.certain(entity),
        texts=make_texts(2),
        counts=BatchCounts.of(scan, is_labelled, image, entity, 4),
    )

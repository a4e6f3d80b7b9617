"""What a micro-batch of the semantickitti preset asks a GPU for. The number of points does not matter."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from lass3d_core import nets
from lass3d_core.compute.launches import KernelCount
from lass3d_core.compute.synchronisations import counted_synchronisations
from lass3d_core.paper.safm import TextBatch
from lass3d_core.sparse.maps import pyramid_of, unbuilt_pyramid
from lass3d_core.sparse.pairs_on_device import offsets_on_device, pairs_on_device
from lass3d_core.sparse.reference import as_on_a_gpu
from train import methods
from train.config import with_settings
from train.loop import take_step
from train.methods.contract import BatchCounts, Ingredients, SemiBatch
from train.methods.parts.votes import PhraseVotes
from train.optimiser import make_optimiser
from train.presets.published import semantickitti

CPU = torch.device("cpu")
CLASSES, TEXT_DIM, ROWS, PHRASES = 19, 16, 5, 6
LIMIT = 3_500  # kernels of a micro-batch
MAPS = 620
"""Kernels that build the maps of a micro-batch on a GPU."""


def a_batch(scans: int) -> SemiBatch:
    """Small scans, the first two labelled, each with an image. All maps have pairs under every offset."""
    generator = torch.Generator().manual_seed(0)
    cells = torch.cartesian_prod(torch.arange(scans), *[torch.arange(-20, 20)] * 2).int()
    height = torch.randint(-16, 16, (len(cells), 1), generator=generator, dtype=torch.int32)
    coords = torch.cat([cells, height], dim=1)
    scan, count = coords[:, 0].long(), len(coords)
    phrase = torch.randint(-1, PHRASES, (count,), generator=generator)
    labels = torch.randint(CLASSES, (count,), generator=generator)
    is_labelled, image = scan < 2, scan.masked_fill(phrase < 0, -1)
    return SemiBatch(
        features=torch.cat([coords[:, 1:] * 0.05, torch.rand(count, 1, generator=generator)], dim=1),
        pyramid=unbuilt_pyramid(coords, 5, first_scans=2 if scans > 2 else None).to(CPU),
        labels=labels.masked_fill(scan >= 2, 255),
        is_labelled=is_labelled,
        scan=scan,
        image=image,
        entity=phrase,
        votes=PhraseVotes.certain(phrase),
        texts=TextBatch(
            image_rows=torch.randn(scans * ROWS, TEXT_DIM, generator=generator),
            image_offsets=tuple(range(0, (scans + 1) * ROWS, ROWS)),
            image_pooled=torch.randn(scans, TEXT_DIM, generator=generator),
            entity_rows=torch.randn(PHRASES, TEXT_DIM, generator=generator),
        ),
        counts=BatchCounts.of(scan, is_labelled, image, phrase, scans),
    )


def launches_of_a_step(method_name: str, *settings: str) -> int:
    """Of the second step: the first one allocates the optimiser's state."""
    config = with_settings(semantickitti("x", method_name, 1.0, 0), settings)
    batch = a_batch(2 if method_name == "supervised" else 4)
    torch.manual_seed(0)
    backbone = partial(nets.make_backbone, config.net, 4)
    ingredients = Ingredients(backbone, CLASSES, TEXT_DIM, class_weights=None)
    method = methods.make_method(config.method, ingredients).train()
    optimiser = make_optimiser(config.optim, method.parameters())
    step = partial(take_step, method, optimiser, [batch])
    with as_on_a_gpu():
        step(0, config.optim.max_grad_norm, CPU, config.precision)
        with KernelCount() as count:
            step(1, config.optim.max_grad_norm, CPU, config.precision)
    return count.launches


@pytest.mark.parametrize(
    ("name", "settings", "most"),
    [
        ("lass3d", ("method.pe_form=single_pass",), 2_150),
        ("mean_teacher", (), 1_850),
        ("supervised", (), 925),
        ("lass3d", ("method.pe_form=single_pass", "precision=float32"), 3_750),  # without grouped products
    ],
)
def test_a_micro_batch_takes_few_launches(name: str, settings: tuple[str, ...], most: int) -> None:
    assert launches_of_a_step(name, *settings) in range(most - 50, most + 1)
    assert "precision=float32" in settings or most + MAPS <= LIMIT  # the published recipes have bfloat16


def test_the_maps_of_a_micro_batch_take_few_launches_and_one_transfer() -> None:
    coords = a_batch(4).pyramid.coords[0]
    with KernelCount() as count, counted_synchronisations() as places:
        pyramid_of(pairs_on_device(coords, 5, first_scans=2), offsets_on_device, first_scans=2)
    assert count.launches in range(MAPS - 30, MAPS + 1)
    assert places == {"lass3d_core/sparse/pairs_on_device.py tolist": 1}

"""The memory that is expected is what autograd keeps, and what the parameters and the batch take."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lass3d_core import nets
from lass3d_core.compute.precision import autocast
from lass3d_core.paper.safm import TextBatch
from lass3d_core.sparse.maps import build_pyramid
from lass3d_core.sparse.voxels import collate, voxelise
from tests.phrase_counts import counts_of
from train.config import RunConfig, with_settings
from train.methods import METHODS, make_method
from train.methods.contract import BatchCounts, Ingredients, Method, SemiBatch
from train.methods.parts.label_prior import PhraseCounts
from train.methods.parts.votes import PhraseVotes
from train.optimiser import make_optimiser
from train.presets.published import semantickitti
from train.runs.layers import BatchSize, layers, multiplications
from train.runs.memory import Networks, activations, expected_memory

CPU = torch.device("cpu")
CLASSES, TEXT_DIM, PHRASES, ROWS = 19, 64, 30, 20
CHECKED = ("supervised", "mean_teacher", "lass3d", "lass3d_plus")
NARROW = ("net.stem=8", "net.encoder=[8, 16, 16]", "net.decoder=[16, 16, 16]")
LATE = 20_000  # a step in which every method uses all of its terms


def sweep(seed: int) -> Tensor:
    """Points (N,3) on a plane about a sensor, ring by ring, and on four walls: as uneven as a LiDAR's."""
    rng = np.random.default_rng(seed)
    turn = np.linspace(-np.pi, np.pi, 60, endpoint=False)
    azimuth, down = np.meshgrid(turn, np.radians(np.linspace(3, 25, 24)))
    reach = np.minimum(1.8 / np.tan(down), 20 / np.maximum(abs(np.cos(azimuth)), abs(np.sin(azimuth))))
    points = np.stack([reach * np.cos(azimuth), reach * np.sin(azimuth), -reach * np.tan(down)], axis=-1)
    return torch.from_numpy((points.reshape(-1, 3) + rng.normal(0, 0.02, (1440, 3))).astype(np.float32))


def a_batch(labelled: int, unlabelled: int, levels: int) -> SemiBatch:
    """Sweeps of which a fifth of the voxels has an image and a phrase."""
    torch.manual_seed(0)
    scans = labelled + unlabelled
    coords = collate([voxelise(sweep(number), 0.1).coords for number in range(scans)])
    scan, count = coords[:, 0].long(), len(coords)
    has_text = torch.rand(count) < 0.2
    phrase = torch.randint(PHRASES, (count,)).masked_fill(~has_text, -1)
    image = scan.masked_fill(~has_text, -1)
    return SemiBatch(
        features=torch.cat([coords[:, 1:] * 0.1, torch.rand(count, 1)], dim=1),
        pyramid=build_pyramid(coords, levels),
        labels=torch.randint(CLASSES, (count,)).masked_fill(scan >= labelled, 255),
        is_labelled=scan < labelled,
        scan=scan,
        image=image,
        entity=phrase,
        votes=PhraseVotes.certain(phrase),
        texts=TextBatch(
            image_rows=torch.randn(scans * ROWS, TEXT_DIM),
            image_offsets=tuple(range(0, (scans + 1) * ROWS, ROWS)),
            image_pooled=torch.randn(scans, TEXT_DIM),
            entity_rows=torch.randn(PHRASES, TEXT_DIM),
        ),
        counts=BatchCounts.of(scan, scan < labelled, image, phrase, scans),
    )


def phrase_counts() -> PhraseCounts:
    """Phrase p < 19 is mostly on class p."""
    counts = torch.cat([8 * torch.eye(CLASSES) + 2, torch.ones(PHRASES - CLASSES, CLASSES)])
    return counts_of(counts.expand(2, -1, -1), rows=torch.randn(PHRASES, TEXT_DIM))


def config_of(name: str, *settings: str) -> RunConfig:
    return with_settings(semantickitti("any", name, 1.0, 0), settings)


def batch_for(config: RunConfig) -> SemiBatch:
    return a_batch(config.data.labelled_scans, config.data.unlabelled_scans, config.net.levels)


def method_of(config: RunConfig) -> Method:
    torch.manual_seed(0)
    backbone = partial(nets.make_backbone, config.net, 4)
    return make_method(config.method, Ingredients(backbone, CLASSES, TEXT_DIM, None, phrase_counts)).train()


def tensors_in(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    parts = value if isinstance(value, tuple) else vars(value).values() if hasattr(value, "__dict__") else ()
    return [one for part in parts for one in tensors_in(part)]


def memory_of(tensors: list[Tensor]) -> dict[int, int]:
    """Where each memory begins -> its bytes."""
    return {one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}


def kept_by_autograd(config: RunConfig, method: nn.Module, batch: SemiBatch) -> int:
    """Bytes that the graph of the losses holds, without weights and the batch itself."""
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with hooks, autocast(config.precision, CPU):
        terms = method.losses(batch, LATE)
    there = memory_of([*method.parameters(), *method.buffers(), *tensors_in(batch)])
    assert all(term.requires_grad for term in terms.values())
    return sum(size for place, size in memory_of(kept).items() if place not in there)


def estimate(config: RunConfig, batch: SemiBatch) -> float:
    networks = Networks.of(config, 4, CLASSES, TEXT_DIM)
    return activations(config, BatchSize.of(batch), networks.trained, CLASSES)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", CHECKED)
def test_activations_of_minkunet18_are_what_autograd_keeps(name: str, precision: str) -> None:
    config = config_of(name, f"precision={precision}")
    batch = batch_for(config)
    kept = kept_by_autograd(config, method_of(config), batch)
    assert estimate(config, batch) == pytest.approx(kept, rel=0.10)


@pytest.mark.parametrize("view", ["voxel", "range"])
@pytest.mark.parametrize("name", METHODS)
def test_activations_of_every_method_and_view(name: str, view: str) -> None:
    config = config_of(
        name, *NARROW, f"net.view={view}", "net.image.height=16", "net.image.width=128", "precision=bfloat16"
    )
    batch = batch_for(config)
    kept = kept_by_autograd(config, method_of(config), batch)
    assert estimate(config, batch) == pytest.approx(kept, rel=0.15)


LASS3D = (
    ("method.pe=false",),
    ("method.kl=false", "method.ce_u=false"),
    ("method.captions=none",),
    ("method.safm.fusion=concat",),
    ("method.transfer=alignment",),
)
PLUS = (("method.query.weight=1",), ("method.mix.weight=1",))
VARIANTS = [*(("lass3d", one) for one in LASS3D), *(("lass3d_plus", one) for one in PLUS)]


@pytest.mark.parametrize(("name", "settings"), VARIANTS)
def test_activations_of_the_ablations(name: str, settings: tuple[str, ...]) -> None:
    config = config_of(name, *NARROW, "net.standardise_input=true", *settings)
    batch = batch_for(config)
    kept = kept_by_autograd(config, method_of(config), batch)
    assert estimate(config, batch) == pytest.approx(kept, rel=0.15)


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_weights_are_parameters_gradients_and_moments(optimiser: str) -> None:
    config = config_of("lass3d", *NARROW, f"optim.name={optimiser}")
    method, batch = method_of(config), batch_for(config)
    moving = make_optimiser(config.optim, method.parameters())
    terms = method.losses(batch, 0)
    torch.stack(list(terms.values())).sum().backward()
    moving.step()
    trained = [one for one in method.parameters() if one.grad is not None]
    moments = [one for state in moving.state.values() for one in state.values() if isinstance(one, Tensor)]
    held = [*method.parameters(), *(one.grad for one in trained), *(one for one in moments if one.dim())]
    networks = Networks.of(config, 4, CLASSES, TEXT_DIM)
    expected = expected_memory(config, BatchSize.of(batch), networks, CLASSES, on_gpu=True)
    assert expected.weights == sum(memory_of(held).values())


def test_a_batch_counts_once_on_a_gpu_unless_its_rounds_predict_again() -> None:
    for name, more, on_gpu, times in (
        ("mean_teacher", (), True, 1),
        ("mean_teacher", (), False, 4),
        ("lass3d", (), True, 4),
        ("lass3d", ("method.pe_form=single_pass",), True, 1),
    ):
        config = config_of(name, *NARROW, *more)
        batch = batch_for(config)
        expected = expected_memory(config, BatchSize.of(batch), Networks(0, 0), CLASSES, on_gpu)
        assert expected.batches == times * sum(memory_of(tensors_in(batch)).values())


def test_layers_have_the_weights_of_the_network() -> None:
    net = config_of("supervised").net
    offsets = {"submanifold": 27, "down": 8, "up": 8, "join": 0, "shortcut": 1}
    counted = sum(offsets[one.kind] * one.cin * one.cout for one in layers(net, 4))
    weights = [one for one in nets.make_backbone(net, 4).parameters() if one.dim() > 1]
    assert counted == sum(map(Tensor.numel, weights))


def test_multiplications_are_pairs_times_widths() -> None:
    """Two voxels side by side, in one voxel of level 1; one encoder, one decoder, one block of width 1."""
    settings = ("net.stem=1", "net.encoder=[1]", "net.decoder=[1]", "net.blocks=1")
    config = config_of("supervised", *settings, "data.labelled_scans=1")
    coords = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 0]], dtype=torch.int32)
    batch = a_batch(1, 0, 1)
    size = BatchSize.of(SemiBatch(**{**vars(batch), "pyramid": build_pyramid(coords, 2)}))
    assert size.voxels == (2, 1) and size.pairs == (4, 1)
    stem, down, coarse, up = 4 * 4 + 4, 2, 1 + 1, 2
    decoder = 4 * 2 + 4 + 2 * 2  # from two channels to one, one to one, and the shortcut of two voxels
    assert multiplications(config.net, size) == stem + down + coarse + up + decoder

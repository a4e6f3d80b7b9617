"""The peak memory of a training step, estimated before the first one from the configuration and the data.

    weights      4 bytes for a parameter of any network, and for its gradient and the optimiser's moments
    batches      the micro-batches on the device, with their kernel maps
    activations  what autograd keeps of the forward passes that have a gradient, until backward
    working      what the widest convolution needs for itself

tests/train/runs/test_memory.py compares `activations` with what autograd keeps, benchmarks/memory.py all but
the weights with the peak of a step on a CPU. Not counted: PyTorch itself, CUDA's context and the gaps of its
allocator. What the text table of a method needs is left out; it is a few megabytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from lass3d_core import nets
from train import methods
from train.config import RunConfig
from train.methods.contract import Ingredients
from train.runs.layers import BatchSize, kept_by_backbone, widest_rows

GIB = 2**30


@dataclass(frozen=True)
class Networks:
    """Parameters of all networks of a method. trained: those that the optimiser moves."""

    parameters: int
    trained: int

    @classmethod
    def of(cls, config: RunConfig, features: int, num_classes: int, text_dim: int) -> Networks:
        """Count them on the device `meta`, which has shapes and no memory."""
        with torch.device("meta"):
            make_backbone = partial(nets.make_backbone, config.net, features)
            method = methods.make_method(
                config.method, Ingredients(make_backbone, num_classes, text_dim, None)
            )
        sizes = [(parameter.numel(), parameter.requires_grad) for parameter in method.parameters()]
        return cls(sum(size for size, _ in sizes), sum(size for size, trained in sizes if trained))


@dataclass(frozen=True)
class Memory:
    """Bytes of a training step; see the head of this file."""

    weights: float
    batches: float
    activations: float
    working: float

    @property
    def total(self) -> float:
        return self.weights + self.batches + self.activations + self.working


def expected_memory(
    config: RunConfig, size: BatchSize, networks: Networks, num_classes: int, on_gpu: bool
) -> Memory:
    """The memory of one process. size: of its micro-batches."""
    moments = 1 if config.optim.name == "sgd" else 2
    # A GPU holds a micro-batch while its terms are computed. Rounds that predict again hold all of a step.
    at_once = config.data.accumulate if not on_gpu or _predicts_again(config.method) else 1
    return Memory(
        weights=4.0 * (networks.parameters + networks.trained * (1 + moments)),
        batches=float(at_once * size.bytes),
        activations=activations(config, size, networks.trained, num_classes),
        working=widest_rows(config.net, size, activation_bytes(config)),
    )


def activations(config: RunConfig, size: BatchSize, trained: int, num_classes: int) -> float:
    """Bytes that autograd keeps of the losses of one micro-batch. trained: number of parameters."""
    width = activation_bytes(config)
    kept = _HEADS.get(config.method_name, _supervised)(config, size, num_classes)
    kept += graphs(config) * kept_by_backbone(config.net, size, width)
    # Every pass casts the weights anew. Both networks of CPS are among the trained ones.
    casts = 1 if config.method_name in ("cps", "gpc") else graphs(config)
    return kept + (casts * width * trained if width < 4 else 0)


def activation_bytes(config: RunConfig) -> int:
    """4 in float32, 2 in half precision."""
    return 4 if config.precision == "float32" else 2


def _predicts_again(method: Any) -> bool:
    return getattr(method, "pe_form", "") == "paper" and method.mines and method.pe_iterations > 1


def graphs(config: RunConfig) -> float:
    """Forward passes of the whole micro-batch that keep a graph until backward.

    The mixed scans of LaserMix, IGNet and LASS3D+ have together about as many voxels as the scans that they
    are made from.
    """
    method: Any = config.method
    if config.method_name == "gpc":
        # Two crops of each unlabelled scan: two images, or about two thirds of its voxels each.
        data, each = config.data, 2 / 3 if config.net.view == "voxel" else 1
        scans = data.labelled_scans + data.unlabelled_scans
        return (data.labelled_scans + 2 * each * data.unlabelled_scans) / scans
    mixes = {"cps": True, "lasermix": True, "ignet": bool(getattr(method, "lambda_mix", 0))}
    mixes["lass3d_plus"] = hasattr(method, "mix") and method.mix.weight > 0
    return 2.0 if mixes.get(config.method_name, False) else 1.0


def _classified(config: RunConfig, rows: float, num_classes: int, columns: float) -> float:
    """The classifier on `rows` voxels: its hidden layer, and `columns` float32 values for each class."""
    return rows * (activation_bytes(config) * config.net.decoder[-1] + 4 * columns * num_classes)


def _supervised(config: RunConfig, size: BatchSize, num_classes: int) -> float:
    return _classified(config, size.voxels[0], num_classes, 1)  # log-softmax


def _mean_teacher(config: RunConfig, size: BatchSize, num_classes: int) -> float:
    return _classified(config, size.voxels[0], num_classes, 3)  # and softmax, difference


def _two_passes(config: RunConfig, size: BatchSize, num_classes: int) -> float:
    return 2 * _classified(config, size.voxels[0], num_classes, 2)


def _self_training(config: RunConfig, size: BatchSize, num_classes: int) -> float:
    return _classified(config, size.voxels[0], num_classes, 1) + 4 * num_classes * size.unlabelled


def _sss_net(config: RunConfig, size: BatchSize, num_classes: int) -> float:
    """Two cross-entropies, the sum that the classifier reads, and the distance to the superpoint's mean."""
    of_features = (activation_bytes(config) + 4) * config.net.decoder[-1]
    return _classified(config, size.voxels[0], num_classes, 2) + size.voxels[0] * (of_features + 32)


def _lim3d(config: RunConfig, size: BatchSize, num_classes: int) -> float:
    """Two cross-entropies, the divergence, and Lovász: a sort of the errors of each class."""
    labelled = size.voxels[0] - size.unlabelled
    kept = _classified(config, size.voxels[0], num_classes, 3)
    return kept + 4 * num_classes * (2 * size.unlabelled + 5 * labelled)


def _ignet(config: RunConfig, size: BatchSize, num_classes: int) -> float:
    """Cross-entropy, divergence, and the projection of the voxels with a phrase, for each graph."""
    width = activation_bytes(config)
    kept = _classified(config, size.voxels[0], num_classes, 1) + 8 * num_classes * size.unlabelled
    kept += size.named * (width * config.net.decoder[-1] + 8 * size.text_dim + 8 * size.phrases)
    return graphs(config) * kept


def _lass3d_plus(config: RunConfig, size: BatchSize, num_classes: int) -> float:
    method: Any = config.method
    kept = graphs(config) * _classified(config, size.voxels[0], num_classes, 1)
    kept += size.unlabelled * (4 * num_classes + 16) + size.voxels[0]
    if method.query.weight:
        kept += _queried(config, size)
    return kept


def _queried(config: RunConfig, size: BatchSize) -> float:
    """The query head on the voxels with a text: two layers, the projection and its unit rows, the logits."""
    width, hidden = activation_bytes(config), config.method.query.hidden
    rows = max(size.captioned, size.named)
    per_row = width * (config.net.decoder[-1] + hidden) + size.text_dim * (8 + (width if width < 4 else 0))
    logits = size.named * size.phrases + (rows - size.named) * size.captions
    return rows * per_row + 4 * logits


def _lass3d(config: RunConfig, size: BatchSize, num_classes: int) -> float:
    """SAFM on all voxels, the adapter on the unlabelled ones, and the terms of Eq. (9)."""
    method: Any = config.method
    width, channels, rows = activation_bytes(config), config.net.decoder[-1], size.voxels[0]
    # The norm of f_text keeps its float32 input; the classifier keeps f_text itself, cast if need be.
    kept = _classified(config, rows, num_classes, 1) + rows * (channels * (4 + width) + 8)
    if method.transfer == "safm":
        kept += _fused(config, size)
    else:
        kept += (size.captioned + size.named) * size.text_dim * width
    unlabelled = size.unlabelled
    if method.distils:  # the teacher's features, the hidden layer, three normalised forms
        kept += rows * channels * width + unlabelled * (method.adapter.hidden * width + channels * 12 + 8)
    if method.ce_u:
        kept += unlabelled * (4 * num_classes + 8)
    if method.mines:  # log(1 - O) of Eq. (6), whose logits are rows of those of all voxels
        kept += 4 * num_classes * (4 * unlabelled + rows) + unlabelled * (num_classes + 30)
    return kept


def _fused(config: RunConfig, size: BatchSize) -> float:
    """The two hidden layers of SAFM, and the attention of the voxels that an image sees."""
    method: Any = config.method
    width, hidden, heads = activation_bytes(config), method.safm.hidden, method.safm.heads
    kept = 2.0 * size.voxels[0] * hidden * width
    captioned = size.captioned if method.captions in ("image", "both") else 0
    named = size.named if method.captions in ("entity", "both") else 0
    kept += 16 * (captioned + named)
    if method.safm.fusion == "cross_attention":
        rows_of_an_image = size.caption_rows / max(size.captions, 1)
        scores = heads * rows_of_an_image * (4 + (width if width < 4 else 0))
        kept += captioned * (hidden * width + scores)
        kept += size.caption_rows * width * (3 * size.text_dim + 2 * heads * hidden)
    return kept


_HEADS: dict[str, Callable[[RunConfig, BatchSize, int], float]] = {
    "supervised": _supervised,
    "mean_teacher": _mean_teacher,
    "cps": _two_passes,
    "lasermix": _two_passes,
    "cbst": _self_training,
    "ignet": _ignet,
    "lim3d": _lim3d,
    "sss_net": _sss_net,
    "lass3d": _lass3d,
    "lass3d_plus": _lass3d_plus,
}

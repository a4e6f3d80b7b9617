"""From a card and weights to a network that predicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from lass3d_core.errors import CorruptArtifact
from lass3d_core.model.card import ModelCard
from lass3d_core.nets import make_backbone
from lass3d_core.nets.query_head import QueryHead
from lass3d_core.nets.segmenter import Segmenter, make_classifier
from lass3d_core.nets.superpoint_segmenter import SuperpointSegmenter
from lass3d_core.paper.adapter import FusionAdapter

QUERY_ROWS = "query_rows"
"""Name of the text rows (T,D) float16 beside the weights."""


def make_network(card: ModelCard, backend: str | None = None) -> nn.ModuleDict:
    """The modules `segmenter` and, if the card has one, `query_head`; freshly initialised.

    backend: a sparse-convolution backend in the place of the card's; weights fit all of them.
    Raises UnknownName, BackendUnavailable.
    """
    config = replace(card.network, backend=backend) if backend else card.network
    backbone = make_backbone(config, card.in_channels)
    channels = cast(int, backbone.out_channels)
    if card.superpoints:
        segmenter: nn.Module = SuperpointSegmenter(backbone, card.num_classes, card.superpoints)
    else:
        adapter = FusionAdapter(card.adapter, channels) if card.adapter else nn.Identity()
        segmenter = Segmenter(backbone, adapter, make_classifier(channels, card.num_classes))
    network = nn.ModuleDict({"segmenter": segmenter})
    if card.query:
        network["query_head"] = QueryHead(channels, card.query.hidden, card.query.dim)
    return network


def load_weights(network: nn.ModuleDict, weights: Mapping[str, Tensor], path: Path) -> None:
    """Put `weights` into `network`. Raises CorruptArtifact naming the first that does not fit."""
    expected = network.state_dict()
    weights = {name: tensor for name, tensor in weights.items() if name != QUERY_ROWS}
    for name in sorted(expected.keys() | weights.keys()):
        if name not in weights:
            raise _of_another_version(path, f"lacks the weight {name} that its card asks for")
        if name not in expected:
            raise _of_another_version(path, f"holds the weight {name}, for which its card has no place")
        if weights[name].shape != expected[name].shape:
            raise _of_another_version(
                path,
                f"the weight {name} has shape {tuple(weights[name].shape)}, "
                f"its card asks for {tuple(expected[name].shape)}",
            )
    network.load_state_dict(dict(weights))


def _of_another_version(path: Path, why: str) -> CorruptArtifact:
    # Its checksum is right, so that the file is as it was written.
    return CorruptArtifact(
        f"{path} was made by another version of the code ({why}); install the version that wrote it"
    )


def weights_of(segmenter: nn.Module, query_head: nn.Module | None, rows: Tensor | None) -> dict[str, Tensor]:
    """The weights of a model file by name."""
    weights = {f"segmenter.{name}": tensor for name, tensor in segmenter.state_dict().items()}
    if query_head is not None:
        weights |= {f"query_head.{name}": tensor for name, tensor in query_head.state_dict().items()}
    if rows is not None:
        weights[QUERY_ROWS] = rows.to(torch.float16)
    return weights

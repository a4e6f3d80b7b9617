"""The layers of a backbone, counted from its settings: what autograd keeps of them, what they multiply.

Nothing is built and nothing runs. Letters: M voxels of a level (pixels in the range view), C channels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from lass3d_core.nets import UNetConfig
from train.methods.contract import SemiBatch
from train.runs.byte_count import bytes_of

Kind = Literal["submanifold", "down", "up", "join", "shortcut"]

# A batch norm keeps what the convolution returned, a ReLU its own result, which is the input of the next
# layer and is kept once. The norm of a shortcut has no ReLU of its own; `join` is the concatenation.
_KEPT: dict[Kind, int] = {"submanifold": 2, "down": 2, "up": 2, "join": 1, "shortcut": 1}


class Layer(NamedTuple):
    """One layer. level: of its output."""

    kind: Kind
    level: int
    cin: int
    cout: int


@dataclass(frozen=True)
class BatchSize:
    """How large a micro-batch is, as the network sees it.

    voxels, pairs: per level; pairs of the 3x3x3 map, centre included. unlabelled: voxels of unlabelled scans.
    captioned, named: voxels with an image, with a phrase. captions, caption_rows, phrases: of its texts.
    text_dim: D. features: input channels. bytes: of all its tensors.
    """

    scans: int
    voxels: tuple[int, ...]
    pairs: tuple[int, ...]
    unlabelled: int
    captioned: int
    named: int
    captions: int
    caption_rows: int
    phrases: int
    text_dim: int
    features: int
    bytes: int

    @classmethod
    def of(cls, batch: SemiBatch) -> BatchSize:
        """The size of `batch`, which is on the CPU."""
        voxels = tuple(map(len, batch.pyramid.coords))
        maps = zip(batch.pyramid.submanifold, voxels)
        return cls(
            scans=len(batch.scan.unique()),
            voxels=voxels,
            pairs=tuple(sum(one.counts) + centre for one, centre in maps),
            unlabelled=int((~batch.is_labelled).sum()),
            captioned=int((batch.image >= 0).sum()),
            named=int((batch.entity >= 0).sum()),
            captions=len(batch.texts.image_pooled),
            caption_rows=len(batch.texts.image_rows),
            phrases=len(batch.texts.entity_rows),
            text_dim=batch.texts.image_rows.shape[1],
            features=batch.features.shape[1],
            bytes=bytes_of(batch),
        )

    def seen_by(self, net: UNetConfig) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """What the U-Net computes on: per level the voxels and their pairs, or the pixels and 9 for each."""
        if net.view == "voxel":
            return self.voxels, self.pairs
        whole = self.scans * net.image.height * net.image.width
        pixels = tuple(whole >> 2 * level for level in range(len(net.encoder) + 1))
        return pixels, tuple(9 * count for count in pixels)


def layers(net: UNetConfig, in_channels: int) -> Iterator[Layer]:
    """The layers of MinkUNet in their order, without batch norms and ReLUs, which follow every one."""
    yield Layer("submanifold", 0, in_channels, net.stem)
    yield Layer("submanifold", 0, net.stem, net.stem)
    widths = (net.stem, *net.encoder)
    for level, (cin, cout) in enumerate(itertools.pairwise(widths), start=1):
        yield Layer("down", level, cin, cin)
        yield from _blocks(level, cin, cout, net.blocks)
    coarser = (net.encoder[-1], *net.decoder)
    for level, cin, cout in zip(reversed(range(len(net.encoder))), coarser, net.decoder):
        joined = cout + widths[level]
        yield Layer("up", level, cin, cout)
        yield Layer("join", level, 0, joined)
        yield from _blocks(level, joined, cout, net.blocks)


def _blocks(level: int, cin: int, cout: int, blocks: int) -> Iterator[Layer]:
    for width in (cin, *[cout] * (blocks - 1)):
        yield Layer("submanifold", level, width, cout)
        yield Layer("submanifold", level, cout, cout)
        if width != cout:
            yield Layer("shortcut", level, width, cout)


def kept_by_backbone(net: UNetConfig, size: BatchSize, width: int) -> float:
    """Bytes that one forward pass with a gradient keeps. width: bytes of an activation, 4 or 2.

    The weights that are cast to 2 bytes are not counted here.
    """
    on_pixels = net.view == "range"
    rows, _ = size.seen_by(net)
    first, *others = layers(net, _inputs(net, size))
    # The first convolution and its norm stay in float32 (see precision.py); the next one casts its input.
    kept = rows[0] * first.cout * (2 * 4 + (width if width < 4 else 0))
    kept += width * sum(rows[one.level] * one.cout * _KEPT[one.kind] for one in others)
    if net.standardise_input or on_pixels:
        kept += 4 * size.voxels[0] * size.features
    if on_pixels:
        # A 3x3 convolution keeps a padded copy of its input. At the end each voxel reads its pixel (int64 and
        # a row), adds its own inputs, and a norm and a ReLU keep the sum in float32.
        of_3x3 = (one for one in (first, *others) if one.kind == "submanifold")
        kept += width * sum(rows[one.level] * one.cin for one in of_3x3)
        kept += size.voxels[0] * (8 + 4 * size.features + net.decoder[-1] * (width + 2 * 4))
    return kept


def multiplications(net: UNetConfig, size: BatchSize) -> float:
    """Multiplications of one forward pass of the backbone."""
    return sum(_pairs(one, net, size) * one.cin * one.cout for one in layers(net, _inputs(net, size)))


def widest_rows(net: UNetConfig, size: BatchSize, width: int) -> float:
    """Bytes of the largest convolution's own buffers, backward: a gathered row and a product for each pair,
    and the gradients of its input and output."""
    return width * max(
        _pairs(one, net, size) * (2 * one.cin + one.cout) + 2 * size.seen_by(net)[0][one.level] * one.cout
        for one in layers(net, _inputs(net, size))
        if one.kind != "join"
    )


def _pairs(layer: Layer, net: UNetConfig, size: BatchSize) -> int:
    rows, pairs = size.seen_by(net)
    if layer.kind == "submanifold":
        return pairs[layer.level]
    return rows[layer.level - 1] if layer.kind == "down" else rows[layer.level]


def _inputs(net: UNetConfig, size: BatchSize) -> int:
    return size.features + 3 if net.view == "range" else size.features  # distance, depth behind, a 1

"""The semantic-aware adaptive fusion module (Sec. 3.2): 3D features + caption embeddings -> f_text.

Letters: M voxels, F channels, H hidden width, D text dimension, I images of the batch, R text rows of all
images, P phrases.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass as settings_dataclass
from torch import Tensor, nn

from lass3d_core.compute.precision import to_float32
from lass3d_core.errors import ManifestError
from lass3d_core.paper.adapter import normalised
from lass3d_core.settings import SETTINGS


@dataclass(frozen=True)
class TextBatch:
    """The frozen text embeddings that the voxels of one batch refer to.

    image_rows (R,D) float32: the rows of every image's caption (CLIP's token-level rows, or sentences).
    image_offsets (I+1,) int64: image i owns image_rows[image_offsets[i]:image_offsets[i+1]], at least one;
    always on the host, where the slicing is done. image_pooled (I,D) float32: one row per caption.
    entity_rows (P,D) float32: one row per phrase.
    """

    image_rows: Tensor
    image_offsets: Tensor
    image_pooled: Tensor
    entity_rows: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> TextBatch:
        """The same texts on `device`."""
        return self._moved(lambda rows: rows.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> TextBatch:
        """The same texts in memory that a GPU reads by itself."""
        return self._moved(Tensor.pin_memory)

    def _moved(self, move: Callable[[Tensor], Tensor]) -> TextBatch:
        return TextBatch(
            move(self.image_rows), self.image_offsets, move(self.image_pooled), move(self.entity_rows)
        )


@settings_dataclass(frozen=True, config=SETTINGS)
class SafmConfig:
    """The shape of the fusion module."""

    fusion: Literal["cross_attention", "add", "concat"] = "cross_attention"  # of image captions, Tab. 4
    hidden: int = Field(default=128, ge=1)  # width of both MLPs' hidden layers; the paper gives no width
    # Attention heads. The paper gives no number; CLIP's text transformer has 8 heads of 64.
    heads: int = Field(default=8, ge=1)


class Safm(nn.Module):
    """f_text = norm(f + MLP_down(x + E_e)), x = g + attention(g, E_i), g = MLP_up(f). Fig. 4.

    A voxel without an image or without an entity takes the same path with that term 0.

    Decisions, where Fig. 4 is silent. The attention and the whole are residual, and the last layer starts at
    zero, so that training starts from the 3D features themselves. The output is `normalised`. Text rows are
    normalised too: the scale of a text encoder is then no hyper-parameter. The maps into, within and out of
    the text space carry no bias; on the keys it would cancel in the softmax.

    Between the hidden layer of MLP_up and that of MLP_down everything but the softmax is linear and the text
    is frozen, so only the R + P text rows ever enter the D-dimensional space, never the M voxels: the maps on
    either side are multiplied into the rows, which become small keys and values of width H. This is the same
    function, exactly; the plain one, voxel by voxel in D dimensions, is its twin in the tests.
    """

    def __init__(self, config: SafmConfig, channels: int, text_dim: int) -> None:
        super().__init__()
        if text_dim % config.heads:
            raise ManifestError(
                f"safm.heads: {config.heads} heads do not divide the text dimension {text_dim}"
            )
        self.config = config
        self.enter = nn.Linear(channels, config.hidden)
        self.expand = nn.Linear(config.hidden, text_dim, bias=False)
        if config.fusion == "cross_attention":
            self.query = nn.Linear(text_dim, text_dim, bias=False)
            self.key = nn.Linear(text_dim, text_dim, bias=False)
            self.value = nn.Linear(text_dim, text_dim, bias=False)
            self.output = nn.Linear(text_dim, text_dim, bias=False)
        elif config.fusion == "concat":
            self.reduce_image = nn.Linear(text_dim, config.hidden, bias=False)
        self.reduce = nn.Linear(text_dim, config.hidden)
        self.leave = nn.Linear(config.hidden, channels)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, f_3d: Tensor, image: Tensor, entity: Tensor, texts: TextBatch) -> Tensor:
        """f_3d (M,F), image and entity (M,) int64 with -1 for none -> f_text (M,F) float32.

        Warns where the fusion is cross-attention and every image has one row: a softmax over one key is 1,
        and the attention is then an addition.
        """
        hidden = F.relu_(self.enter(f_3d))
        fused = F.linear(hidden, self.reduce.weight @ self.expand.weight, self.reduce.bias)
        phrases = F.linear(normalised(texts.entity_rows), self.reduce.weight)
        for voxels, addition in (self._of_images(hidden, image, texts), _looked_up(phrases, entity)):
            fused.index_add_(0, voxels, addition)
        return normalised(f_3d + self.leave(F.relu_(fused)))

    def _of_images(self, hidden: Tensor, image: Tensor, texts: TextBatch) -> tuple[Tensor, Tensor]:
        """The V voxels with an image (V,), and what its caption adds to their last hidden layer (V,H)."""
        if self.config.fusion == "cross_attention":
            return self._attend(hidden, image, texts)
        reduce = self.reduce_image if self.config.fusion == "concat" else self.reduce
        return _looked_up(F.linear(normalised(texts.image_pooled), reduce.weight), image)

    def _attend(self, hidden: Tensor, image: Tensor, texts: TextBatch) -> tuple[Tensor, Tensor]:
        """Cross-attention of the voxels to the rows of their own image, grouped by image; as `_of_images`."""
        if _single_rows(texts.image_offsets) and bool((image >= 0).any()):
            warnings.warn(
                "every image has a single text row: cross-attention over one key is an addition; "
                "store token-level rows to give it more",
                stacklevel=2,
            )
        keys, values = self._folded_rows(normalised(texts.image_rows))
        without, *counts = torch.bincount(image + 1, minlength=len(texts.image_offsets)).tolist()
        voxels = image.argsort(stable=True)[without:]
        attended = [hidden[:0]]
        for queries, start, stop in zip(
            hidden.index_select(0, voxels).split(counts),
            texts.image_offsets.tolist(),
            texts.image_offsets[1:].tolist(),
        ):
            scores = to_float32(queries @ keys[:, start:stop].flatten(0, 1).T)
            weights = scores.unflatten(1, (self.config.heads, stop - start)).softmax(dim=2)
            attended.append(weights.flatten(1) @ values[:, start:stop].flatten(0, 1))
        return voxels, torch.cat(attended)

    def _folded_rows(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (heads, R, H) of text rows (R,D), seen from the two hidden layers."""
        heads = self.config.heads
        query = (self.query.weight @ self.expand.weight).unflatten(0, (heads, -1))
        output = (self.reduce.weight @ self.output.weight).unflatten(1, (heads, -1))
        keys, values = (layer(rows).unflatten(1, (heads, -1)) for layer in (self.key, self.value))
        scale = keys.shape[2] ** -0.5
        return (
            torch.einsum("rnd,ndh->nrh", keys, query) * scale,
            torch.einsum("rnd,hnd->nrh", values, output),
        )


def _looked_up(rows: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """The V voxels whose index (M,) is not -1, as (V,), and the rows (P,H) that they look up, as (V,H)."""
    voxels = (index >= 0).nonzero().squeeze(1)
    return voxels, F.embedding(index[voxels], rows)


def _single_rows(offsets: Tensor) -> bool:
    return len(offsets) > 1 and int(offsets.diff().max()) == 1

"""SAFM, the semantic-aware adaptive fusion module (Sec. 3.2): 3D features + caption embeddings -> f_text.

Letters: M voxels, F channels, H hidden width, D text dimension, I images of the batch, R text rows of all
images, P phrases.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
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
    image_offsets: image i has image_rows[image_offsets[i]:image_offsets[i+1]], at least one row. I+1 ints,
    because the slicing needs them on the host.
    image_pooled (I,D) float32: one row per caption.
    entity_rows (P,D) float32: one row per phrase.
    """

    image_rows: Tensor
    image_offsets: tuple[int, ...]
    image_pooled: Tensor
    entity_rows: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> TextBatch:
        """The same texts on `device`."""
        return self._moved(lambda rows: rows.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> TextBatch:
        return self._moved(Tensor.pin_memory)

    def _moved(self, move: Callable[[Tensor], Tensor]) -> TextBatch:
        rows, pooled, phrases = map(move, (self.image_rows, self.image_pooled, self.entity_rows))
        return TextBatch(rows, self.image_offsets, pooled, phrases)


@settings_dataclass(frozen=True, config=SETTINGS)
class SafmConfig:
    """The form and the sizes of a Safm."""

    fusion: Literal["cross_attention", "add", "concat"] = "cross_attention"  # of image captions, Tab. 4
    hidden: int = Field(default=128, ge=1)  # width of both MLPs' hidden layers; the paper gives no width
    heads: int = Field(default=8, ge=1)  # none in the paper; CLIP's text transformer has 8 heads of 64


class Safm(nn.Module):
    """f_text = norm(f + MLP_down(x + E_e)), x = g + attention(g, E_i), g = MLP_up(f). Fig. 4.

    f: 3D features of a voxel. E_i: text rows of its image. E_e: text row of its entity.
    A voxel without an image or without an entity takes the same path; the missing term is 0.

    Decision, on what Fig. 4 leaves open: the attention and the whole module are residual, and the last layer
    starts at zero. So training starts from the 3D features. The output goes through `normalised`. Text rows
    do, too, so the scale of a text encoder is no hyper-parameter. The maps into, within and out of the text
    space have no bias; on the keys it would cancel in the softmax.

    Implementation: between the hidden layers of MLP_up and MLP_down all is linear except the softmax, and the
    text is frozen. So the maps on either side are multiplied into the R + P text rows, which become keys and
    values of width H. The M voxels never enter the D-dimensional space. The result is exactly the same; the
    plain form, voxel by voxel in D dimensions, is in the tests.
    """

    def __init__(self, config: SafmConfig, channels: int, text_dim: int) -> None:
        super().__init__()
        heads = config.heads
        if text_dim % heads:
            raise ManifestError(f"safm.heads: {heads} heads do not divide the text dimension {text_dim}")
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

    def forward(
        self,
        f_3d: Tensor,
        image: Tensor,
        entity: Tensor,
        texts: TextBatch,
        image_voxels: Sequence[int] | None = None,
    ) -> Tensor:
        """Fuse the 3D features with the texts.

        f_3d (M,F). image, entity (M,) int64, -1 for none. Returns f_text (M,F) float32.
        image_voxels: how many voxels each image has, I ints. If they are not given, cross-attention counts
        them and waits for the GPU.
        Warns if the fusion is cross-attention and every image has one row: a softmax over one key is 1, so
        the attention is an addition.
        """
        hidden = F.relu_(self.enter(f_3d))
        in_float32 = torch.autocast(f_3d.device.type, enabled=False)
        with in_float32:  # of products of weights: see precision.py
            folded = self.reduce.weight @ self.expand.weight
            phrases = F.linear(normalised(texts.entity_rows), self.reduce.weight)
        fused = F.linear(hidden, folded, self.reduce.bias)
        if self.config.fusion == "cross_attention":
            with in_float32:
                keys, values = self._folded_rows(normalised(texts.image_rows))
            if image_voxels is None:
                image_voxels = torch.bincount(image + 1, minlength=len(texts.image_offsets))[1:].tolist()
            fused.index_add_(0, *_attended(hidden, image, image_voxels, keys, values, texts.image_offsets))
        else:
            reduce = self.reduce_image if self.config.fusion == "concat" else self.reduce
            with in_float32:
                captions = F.linear(normalised(texts.image_pooled), reduce.weight)
            fused += _looked_up(captions, image).to(fused.dtype)
        fused += _looked_up(phrases, entity).to(fused.dtype)
        return normalised(f_3d + self.leave(F.relu_(fused)))

    def _folded_rows(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (heads,R,H) of text rows (R,D), multiplied with the maps of both hidden layers."""
        heads = self.config.heads
        query = (self.query.weight @ self.expand.weight).unflatten(0, (heads, -1))
        output = (self.reduce.weight @ self.output.weight).unflatten(1, (heads, -1))
        keys, values = (layer(rows).unflatten(1, (heads, -1)) for layer in (self.key, self.value))
        keys_of_hidden = torch.einsum("rnd,ndh->nrh", keys, query) * keys.shape[2] ** -0.5
        return keys_of_hidden, torch.einsum("rnd,hnd->nrh", values, output)


def _attended(
    hidden: Tensor,
    image: Tensor,
    image_voxels: Sequence[int],
    keys: Tensor,
    values: Tensor,
    offsets: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Cross-attention of the voxels to the rows of their image, grouped by image.

    hidden (M,H). image (M,) int64. keys, values (heads,R,H): see `Safm._folded_rows`.
    Returns the V voxels with an image, (V,), and what the caption adds to their last hidden layer, (V,H).
    """
    heads, images = len(keys), len(offsets) - 1
    if images and offsets[-1] == images and any(image_voxels):
        warnings.warn(
            "every image has a single text row: cross-attention over one key is an addition; "
            "store token-level rows to give it more",
            stacklevel=2,
        )
    voxels = image.argsort(stable=True)[len(image) - sum(image_voxels) :]
    of_images = hidden.index_select(0, voxels).split(list(image_voxels))
    attended = [hidden[:0]]
    for queries, (start, stop) in zip(of_images, itertools.pairwise(offsets)):
        scores = to_float32(queries @ keys[:, start:stop].flatten(0, 1).T)
        weights = scores.unflatten(1, (heads, stop - start)).softmax(dim=2)
        attended.append(weights.flatten(1) @ values[:, start:stop].flatten(0, 1))
    return voxels, torch.cat(attended)


def _looked_up(rows: Tensor, index: Tensor) -> Tensor:
    """The row of rows (P,H) that each voxel looks up by index (M,) int64, (M,H); zeros where it is -1."""
    # A row of zeros stands behind the others: to select the voxels with a text would wait for a GPU.
    none = len(rows)
    return F.embedding(torch.where(index < 0, none, index), F.pad(rows, (0, 0, 0, 1)), padding_idx=none)

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lass3d_core.errors import ManifestError
from lass3d_core.paper.adapter import normalised
from lass3d_core.paper.safm import Safm, SafmConfig, TextBatch

CHANNELS, TEXT_DIM = 6, 8


def some_texts(generator: torch.Generator) -> TextBatch:
    """Three images with 2, 1 and 4 rows, and five phrases."""

    def rows(count: int) -> Tensor:
        return torch.randn(count, TEXT_DIM, generator=generator, dtype=torch.float64)

    return TextBatch(rows(7), (0, 2, 3, 7), rows(3), rows(5))


def some_voxels(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    f_3d = torch.randn(20, CHANNELS, generator=generator, dtype=torch.float64)
    image = torch.randint(-1, 3, (20,), generator=generator)
    entity = torch.randint(-1, 5, (20,), generator=generator)
    return f_3d, image, entity


def trained(config: SafmConfig, generator: torch.Generator) -> Safm:
    """A module whose last layer is no longer zero, so that everything before it matters."""
    safm = Safm(config, CHANNELS, TEXT_DIM).double()
    for parameter in safm.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 2
    return safm


def plain(safm: Safm, f_3d: Tensor, image: Tensor, entity: Tensor, texts: TextBatch) -> Tensor:
    """The same function voxel by voxel, in the text's D dimensions, as Sec. 3.2 words it."""
    return torch.stack([_plain_voxel(safm, f, int(i), int(e), texts) for f, i, e in zip(f_3d, image, entity)])


def _plain_voxel(safm: Safm, f_3d: Tensor, image: int, entity: int, texts: TextBatch) -> Tensor:
    aligned = safm.expand(F.relu(safm.enter(f_3d)))
    fused = aligned
    pooled = normalised(texts.image_pooled[image]) if image >= 0 else torch.zeros_like(aligned)
    if safm.config.fusion == "cross_attention" and image >= 0:
        start, stop = texts.image_offsets[image], texts.image_offsets[image + 1]
        fused = fused + _plain_attention(safm, aligned, normalised(texts.image_rows[start:stop]))
    if safm.config.fusion == "add":
        fused = fused + pooled
    if entity >= 0:
        fused = fused + normalised(texts.entity_rows[entity])
    weight = safm.reduce.weight
    if safm.config.fusion == "concat":
        fused = torch.cat([fused, pooled])
        weight = torch.cat([weight, safm.reduce_image.weight], dim=1)
    return normalised(f_3d + safm.leave(F.relu(F.linear(fused, weight, safm.reduce.bias))))


def _plain_attention(safm: Safm, aligned: Tensor, rows: Tensor) -> Tensor:
    heads, width = safm.config.heads, TEXT_DIM // safm.config.heads
    query, keys, values = safm.query(aligned), safm.key(rows), safm.value(rows)
    attended = []
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        weights = (keys[:, part] @ query[part] / width**0.5).softmax(dim=0)
        attended.append(weights @ values[:, part])
    return safm.output(torch.cat(attended))


@pytest.mark.parametrize("fusion", ["cross_attention", "add", "concat"])
def test_folded_and_grouped_equals_the_plain_form_forward_and_backward(fusion: str) -> None:
    generator = torch.Generator().manual_seed(0)
    safm = trained(SafmConfig(fusion=fusion, hidden=5, heads=2), generator)
    texts, (f_3d, image, entity) = some_texts(generator), some_voxels(generator)
    f_3d.requires_grad_()
    outputs = safm(f_3d, image, entity, texts), plain(safm, f_3d, image, entity, texts)
    torch.testing.assert_close(*outputs)
    inputs = [f_3d, *safm.parameters()]
    direction = torch.randn(outputs[0].shape, generator=generator, dtype=torch.float64)
    for own, twin in zip(*(torch.autograd.grad((output * direction).sum(), inputs) for output in outputs)):
        torch.testing.assert_close(own, twin)


def test_fresh_module_only_normalises() -> None:
    generator = torch.Generator().manual_seed(1)
    safm = Safm(SafmConfig(heads=2), CHANNELS, TEXT_DIM).double()
    f_3d, image, entity = some_voxels(generator)
    torch.testing.assert_close(safm(f_3d, image, entity, some_texts(generator)), normalised(f_3d))


def test_voxel_hears_only_its_own_image() -> None:
    generator = torch.Generator().manual_seed(2)
    safm = trained(SafmConfig(hidden=5, heads=2), generator)
    texts, (f_3d, image, entity) = some_texts(generator), some_voxels(generator)
    other_rows = texts.image_rows.clone()
    other_rows[3:] += torch.randn(4, TEXT_DIM, generator=generator, dtype=torch.float64)
    before = safm(f_3d, image, entity, texts)
    after = safm(f_3d, image, entity, replace(texts, image_rows=other_rows))
    changed = (before != after).any(dim=1)
    assert torch.equal(changed, image == 2)


def test_voxel_without_text_does_not_depend_on_the_texts() -> None:
    generator = torch.Generator().manual_seed(3)
    safm = trained(SafmConfig(hidden=5, heads=2), generator)
    f_3d, _, _ = some_voxels(generator)
    none = torch.full((20,), -1)
    first, second = (safm(f_3d, none, none, some_texts(generator)) for _ in range(2))
    assert torch.equal(first, second)


def test_batch_without_any_text_is_fused() -> None:
    safm = Safm(SafmConfig(heads=2), CHANNELS, TEXT_DIM)
    no_rows = torch.empty(0, TEXT_DIM)
    none = torch.full((4,), -1)
    f_text = safm(torch.randn(4, CHANNELS), none, none, TextBatch(no_rows, (0,), no_rows, no_rows))
    assert f_text.shape == (4, CHANNELS) and bool(f_text.isfinite().all())


def test_scale_of_the_text_encoder_does_not_matter() -> None:
    generator = torch.Generator().manual_seed(4)
    safm = trained(SafmConfig(hidden=5, heads=2), generator)
    texts, voxels = some_texts(generator), some_voxels(generator)
    louder = TextBatch(texts.image_rows * 10, texts.image_offsets, texts.image_pooled, texts.entity_rows * 10)
    torch.testing.assert_close(safm(*voxels, texts), safm(*voxels, louder), rtol=1e-3, atol=1e-3)


def test_single_row_per_image_warns_that_attention_is_addition() -> None:
    safm = Safm(SafmConfig(heads=2), CHANNELS, TEXT_DIM)
    texts = TextBatch(*(torch.randn(2, TEXT_DIM), (0, 1, 2)), *torch.randn(2, 2, TEXT_DIM))
    index = torch.tensor([0, 1])
    with pytest.warns(UserWarning, match="single text row"):
        safm(torch.randn(2, CHANNELS), index, index, texts)


def test_heads_must_divide_the_text_dimension() -> None:
    with pytest.raises(ManifestError, match="3 heads do not divide the text dimension 8"):
        Safm(SafmConfig(heads=3), CHANNELS, TEXT_DIM)


def test_offsets_stay_on_the_host() -> None:
    texts = some_texts(torch.Generator()).to(torch.device("meta"))
    assert texts.image_rows.is_meta and texts.image_pooled.is_meta and texts.entity_rows.is_meta
    assert texts.image_offsets == (0, 2, 3, 7)

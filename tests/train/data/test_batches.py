from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from lass3d_core.errors import StaleArtifact
from lass3d_core.files.splits import LabelledSplit
from lass3d_core.files.text_table import read_text_table_record
from lass3d_core.labels import IGNORE
from lass3d_core.manifest.schema import LabelledSpec
from lass3d_core.records import NONE, PairedScan
from tests.text_tables import read_text_table, write_text_table
from train.config import DataConfig
from train.data.augment import AugmentConfig
from train.data.batches import StepBatches, batch_loader
from train.data.evaluation_scans import evaluation_scan
from train.data.paired_scans import PairedScans, class_weights
from train.data.text_batches import TextRowsOf
from train.methods.contract import SemiBatch

CONFIG = DataConfig(2, 3, voxel_m=0.3, augment=AugmentConfig(keep=0.8), workers=0)
STILL = replace(CONFIG, augment=AugmentConfig(yaw_rad=0.0, flip=0.0, scale=0.0, shift_m=0.0))


def split_of(pairs: PairedScans) -> LabelledSplit:
    return pairs.labelled_split(LabelledSpec(), 20.0, 0)


def batches_of(tiny, config: DataConfig = CONFIG, seed: int = 0, steps: int = 8) -> StepBatches:
    pairs = PairedScans.open(tiny.artifacts)
    return StepBatches(pairs, split_of(pairs), config, seed, 3, steps)


def tensors(value: object) -> list[Tensor]:
    """Every tensor in a batch, in the order of its fields."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, tuple):
        return [tensor for item in value for tensor in tensors(item)]
    if is_dataclass(value):
        return [tensor for field in fields(value) for tensor in tensors(getattr(value, field.name))]
    return []


def same(one: SemiBatch, other: SemiBatch) -> bool:
    pairs = zip(tensors(one), tensors(other), strict=True)
    return all(torch.equal(a, b) and a.dtype == b.dtype for a, b in pairs)


def test_panoramas_hold_text_alone_and_leave_labelled_scans_as_they_are(tiny) -> None:
    usual, panoramas = batches_of(tiny), batches_of(tiny, replace(CONFIG, panorama=True))
    plain, wide = usual[0], panoramas[0]
    assert torch.equal(plain.features[plain.is_labelled], wide.features[wide.is_labelled])
    assert torch.equal(plain.labels[plain.is_labelled], wide.labels[wide.is_labelled])
    assert (wide.labels[wide.unlabelled] == IGNORE).all()
    shares = [(batch.image[batch.unlabelled] != NONE).float().mean() for batch in (plain, wide)]
    assert shares[1] > shares[0]
    assert same(wide, batches_of(tiny, replace(CONFIG, panorama=True))[0])


def test_a_batch_depends_on_seed_and_step_alone(tiny) -> None:
    forwards = [batches_of(tiny)[step] for step in range(4)]
    again = batches_of(tiny)
    backwards = [again[step] for step in reversed(range(4))][::-1]
    assert all(same(a, b) for a, b in zip(forwards, backwards))
    assert not same(forwards[0], forwards[1])
    assert not same(forwards[0], batches_of(tiny, seed=1)[0])


def test_workers_change_nothing(tiny) -> None:
    alone = list(batch_loader(batches_of(tiny, steps=5), 0, workers=0))
    together = list(batch_loader(batches_of(tiny, steps=5), 0, workers=2))
    assert len(alone) == len(together) == 5
    assert all(same(a, b) for a, b in zip(alone, together))


def test_a_batch_for_a_gpu_is_the_same_where_it_is_used(tiny) -> None:
    whole = batches_of(tiny)
    bare = replace(whole, for_gpu=True)
    assert bare[2].pyramid.submanifold == ()
    assert torch.int64 not in {tensor.dtype for tensor in tensors(replace(bare[2], texts=()))}
    assert same(bare[2].to(torch.device("cpu")), whole[2])
    sent = next(iter(batch_loader(bare, 2, workers=1)))
    assert same(sent.to(torch.device("cpu")), whole[2])


def test_a_loader_that_starts_late_gives_the_later_batches(tiny) -> None:
    batches = batches_of(tiny, steps=5)
    assert same(next(iter(batch_loader(batches, 3, workers=0))), batches[3])


def test_a_step_of_several_micro_batches_goes_through_them_in_order(tiny) -> None:
    alone, together = batches_of(tiny, steps=6), batches_of(tiny, replace(CONFIG, accumulate=3), steps=2)
    assert len(alone) == len(together) == 6
    assert all(same(alone[number], together[number]) for number in range(6))
    second_step = list(batch_loader(together, 1, workers=0))
    assert len(second_step) == 3
    assert all(same(batch, alone[3 + number]) for number, batch in enumerate(second_step))


def test_every_scan_comes_equally_often(tiny) -> None:
    batches = batches_of(tiny)
    pairs = PairedScans.open(tiny.artifacts)
    unlabelled = split_of(pairs).unlabelled
    drawn = Counter(name for step in range(16) for name in batches._draw(unlabelled, 3, 1, step))
    assert set(drawn) == set(unlabelled)
    assert set(drawn.values()) == {48 // len(unlabelled)}


def test_the_scans_of_a_batch_are_first_the_labelled_then_the_unlabelled(tiny) -> None:
    batch = batches_of(tiny)[0]
    assert batch.scan.unique().tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(batch.is_labelled, batch.scan < 2)
    assert torch.equal(batch.pyramid.coords[0][:, 0].long(), batch.scan)
    assert batch.pyramid.levels == 3
    assert len(batch.features) == len(batch.labels) == len(batch.image) == len(batch.entity)
    assert (batch.features.dtype, batch.features.shape[1]) == (torch.float32, 4)


def test_labels_of_unlabelled_scans_never_reach_a_batch(tiny, rewrite_tiny: Callable[..., None]) -> None:
    batches = batches_of(tiny)
    before = [batches[step] for step in range(6)]
    unlabelled = set(split_of(PairedScans.open(tiny.artifacts)).unlabelled)

    def poisoned(scan: PairedScan) -> PairedScan:
        return replace(scan, labels=2 - np.minimum(scan.labels, 2)) if scan.scan_id in unlabelled else scan

    rewrite_tiny(tiny, poisoned)
    assert all((batch.labels[~batch.is_labelled] == IGNORE).all() for batch in before)
    assert all(same(a, batches_of(tiny)[step]) for step, a in enumerate(before))


def test_labelled_voxels_carry_the_label_of_their_points(tiny) -> None:
    """In the tiny scans a voxel high up is wall or lamp, and one at the floor is ground or ignored."""
    batch = batches_of(tiny, STILL)[0]
    height, labels = batch.features[batch.is_labelled, 2], batch.labels[batch.is_labelled]
    assert set(labels[height > 0.2].tolist()) == {1, 2}
    assert set(labels[height < 0.1].tolist()) <= {0, IGNORE}
    assert (labels[height < 0.1] == 0).float().mean() > 0.8


def test_a_crop_keeps_labels_and_texts_with_their_points(tiny) -> None:
    """The tiny scans say by a point's place what it is: the floor is below, text is where x > 0."""
    cropped = replace(STILL, augment=replace(STILL.augment, crop_m=4.0))
    whole, part = (batches_of(tiny, config)[0] for config in (STILL, cropped))
    assert len(part.features) < 0.6 * len(whole.features)
    assert part.scan.unique().tolist() == [0, 1, 2, 3, 4]
    height, labels = part.features[:, 2], part.labels
    assert set(labels[part.is_labelled & (height > 0.2)].tolist()) <= {1, 2}
    assert set(labels[part.is_labelled & (height < 0.1)].tolist()) <= {0, IGNORE}
    with_text = part.entity != NONE
    assert (part.features[with_text, 0] > -0.3).all()
    assert (part.features[~with_text, 0] < 0.3).all()
    assert set(part.entity[with_text & (height < 0.1)].tolist()) == {0}


def test_a_tint_changes_features_and_nothing_else(tiny) -> None:
    tinted = replace(STILL, augment=replace(STILL.augment, tint=0.5))
    plain, shifted = (batches_of(tiny, config)[0] for config in (STILL, tinted))
    assert torch.equal(plain.features[:, :3], shifted.features[:, :3])
    assert torch.equal(plain.labels, shifted.labels)
    change = shifted.features[:, 3] - plain.features[:, 3]
    for number in range(5):
        of_scan = change[plain.scan == number]
        torch.testing.assert_close(of_scan, of_scan[:1].expand_as(of_scan), rtol=0, atol=1e-5)
    assert len({round(float(change[plain.scan == number][0]), 3) for number in range(5)}) == 5


def test_from_its_corner_a_scan_looks_the_same_wherever_it_is(
    tiny, make_tiny_scan: Callable[..., PairedScan]
) -> None:
    config = replace(CONFIG, from_corner=True)
    scan = make_tiny_scan("0/0", 1)
    moved = replace(scan, points=scan.points + np.float32([64.0, -32.0, 8.0]))
    here, there = (evaluation_scan(one, config, 3) for one in (scan, moved))
    assert (here.features[:, :3].min(dim=0).values >= 0).all()
    assert int(here.pyramid.coords[0][:, 1:].min()) == 0
    cells = [whole.pyramid.coords[0][whole.inverse] for whole in (here, there)]
    assert (cells[0] == cells[1]).all(dim=1).float().mean() > 0.99  # but for rounding at the cells' borders
    assert (evaluation_scan(scan, CONFIG, 3).features[:, 0].min() < -3).all()
    for batch in (batches_of(tiny, config)[step] for step in range(2)):
        for number in range(5):
            of_scan = batch.pyramid.coords[0][batch.scan == number][:, 1:]
            assert of_scan.min(dim=0).values.tolist() == [0, 0, 0]


def test_a_phrase_is_known_by_its_row_in_the_whole_table(tiny) -> None:
    table = PairedScans.open(tiny.artifacts).text_table
    batch = batches_of(tiny)[0]
    paired = batch.entity != NONE
    assert torch.equal(batch.phrase != NONE, paired) and paired.any() and not paired.all()
    rows = torch.from_numpy(table.phrase_rows.astype(np.float32))
    assert torch.equal(rows[batch.phrase[paired]], batch.texts.entity_rows[batch.entity[paired]])


def test_text_slots_lead_to_the_rows_that_the_shard_names(tiny) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    batches = batches_of(tiny, STILL)
    batch, table = batches[0], read_text_table(tiny.artifacts / "text_embeddings.h5")
    names = [
        *batches._draw(split_of(pairs).labelled, 2, 0, 0),
        *batches._draw(split_of(pairs).unlabelled, 3, 1, 0),
    ]
    assert batch.texts.entity_rows.shape == (3, 8)
    for number, name in enumerate(names):
        scan = pairs.read(name)
        slots = batch.image[batch.scan == number]
        assert set(slots.tolist()) == {NONE, number}
        caption = table.image_caption[table.image_ids.index(scan.pairs.image_ids[0])]
        rows = table.caption_rows[table.caption_offsets[caption] : table.caption_offsets[caption + 1]]
        start, end = batch.texts.image_offsets[number : number + 2]
        assert np.array_equal(batch.texts.image_rows[start:end].numpy(), rows.astype(np.float32))
    with_text, height = batch.entity != NONE, batch.features[:, 2]
    assert set(batch.entity[with_text & (height < 0.1)].tolist()) == {0}
    assert set(batch.entity[with_text & (height > 0.2)].tolist()) == {1, 2}


def test_an_image_whose_captioning_failed_gives_its_points_no_slot(tiny) -> None:
    path = tiny.artifacts / "text_embeddings.h5"
    table, record = read_text_table(path), read_text_table_record(path)
    failed = np.array([-1, *table.image_caption[1:]], np.int32)
    write_text_table(path, replace(table, image_caption=failed), record)
    pairs = PairedScans.open(tiny.artifacts)
    scans = [pairs.read(name) for name in pairs.splits["train"][:2]]
    found = TextRowsOf(pairs.text_table).batch([scan.pairs for scan in scans])
    assert [set(image.tolist()) for image in found.image] == [{NONE}, {0, NONE}]
    assert len(found.texts.image_offsets) == 2


def test_scans_without_images_make_a_batch_without_text(tiny) -> None:
    texts = TextRowsOf(PairedScans.open(tiny.artifacts).text_table).batch([]).texts
    assert (texts.image_rows.shape, texts.entity_rows.shape) == ((0, 8), (0, 8))
    assert texts.image_offsets == (0,)


def test_a_table_that_lacks_a_phrase_is_stale(tiny) -> None:
    pairs = PairedScans.open(tiny.artifacts)
    scan = pairs.read(pairs.splits["train"][0])
    renamed = replace(scan.pairs, phrases=("the ground", "a wall", "a lantern"))
    with pytest.raises(StaleArtifact, match="'a lantern' has no row"):
        TextRowsOf(pairs.text_table).batch([renamed])


def test_class_weights_are_the_inverse_root_of_frequency_with_mean_one() -> None:
    weights = class_weights(np.array([900, 100, 0]))
    assert weights[1] / weights[0] == pytest.approx(3.0)
    assert weights[:2].mean() == pytest.approx(1.0)
    assert weights[2] == 1.0


def test_batch_norm_keeps_the_kinds_of_scans_apart_where_there_are_two(tiny) -> None:
    both = batches_of(tiny, replace(CONFIG, labelled_scans=2, unlabelled_scans=1))
    batch = both[0]
    assert batch.pyramid.first.scans == 2 and batch.pyramid.first_rows[0] == batch.labelled_voxels
    assert batches_of(tiny, replace(CONFIG, kinds_apart=False))[0].pyramid.first is None
    assert batches_of(tiny, replace(CONFIG, unlabelled_scans=0))[0].pyramid.first is None

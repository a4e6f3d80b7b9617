"""The contract of every data set reader. A new reader joins by its writer in WRITERS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from lass3d_core.datasets import Dataset, open_dataset, submission_of
from lass3d_core.errors import DataError, ManifestError, UnknownName
from lass3d_core.labels import IGNORE
from lass3d_core.manifest.classes import ClassesSpec
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.manifest.schema import READERS, DatasetSpec, SplitSpec
from tests.lass3d_core.datasets.nuscenes_files import write_nuscenes
from tests.lass3d_core.datasets.plain_files import write_plain
from tests.lass3d_core.datasets.scannet_files import write_scannet
from tests.lass3d_core.datasets.semantickitti_files import write_semantickitti


def semantickitti(root: Path) -> SplitSpec:
    write_semantickitti(root, ("00", "08"))
    return SplitSpec(("00",), ("08",))


def scannet(root: Path) -> SplitSpec:
    write_scannet(root, ("scene0000_00", "scene0002_00"))
    return SplitSpec(("scene0000_00",), ("scene0002_00",))


def nuscenes(root: Path) -> SplitSpec:
    write_nuscenes(root, ("scene-0001", "scene-0103"))
    return SplitSpec(("scene-0001",), ("scene-0103",))


def plain(root: Path) -> SplitSpec:
    write_plain(root, ("a", "b"))
    return SplitSpec(("a",), ("b",))


WRITERS: dict[str, Callable[[Path], SplitSpec]] = {
    "semantickitti": semantickitti,
    "scannet": scannet,
    "nuscenes": nuscenes,
    "plain": plain,
}
"""reader -> what writes a tiny data set in its layout, with labels for the scans of both splits"""

CLASSES = {"plain": ClassesSpec(ids={"ground": (7,), "thing": (3, 4)}, ignore=(0,))}

every_reader = pytest.mark.parametrize("reader", READERS)


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DatasetSpec]:
    roots = {reader: tmp_path_factory.mktemp(reader) for reader in WRITERS}
    return {
        reader: DatasetSpec(
            reader, roots[reader], write(roots[reader]), classes=CLASSES.get(reader, ClassesSpec())
        )
        for reader, write in WRITERS.items()
    }


@pytest.fixture
def dataset(reader: str, specs: dict[str, DatasetSpec]) -> Dataset:
    return open_dataset(specs[reader])


def test_every_registered_reader_has_a_writer() -> None:
    assert set(READERS) == set(WRITERS)


@every_reader
def test_the_label_space_survives_a_round_trip(dataset: Dataset) -> None:
    space = dataset.label_space
    train_ids = np.arange(len(space.names), dtype=np.uint8)
    assert np.array_equal(space.train_ids(space.raw_ids(train_ids), "x"), train_ids)
    assert len(set(space.names)) == len(space.names) == len(set(space.colours))
    assert set(space.train_id_of_raw.values()) == {*range(len(space.names)), IGNORE}


@every_reader
def test_an_unknown_class_id_is_refused_by_number_and_file(dataset: Dataset) -> None:
    unknown = max(dataset.label_space.train_id_of_raw) + 1
    with pytest.raises(DataError, match=f"a.label: unknown class id {unknown}"):
        dataset.label_space.train_ids(np.array([unknown]), "a.label")


@every_reader
def test_predictions_survive_the_benchmarks_file(reader: str, specs: dict[str, DatasetSpec]) -> None:
    submission = submission_of(specs[reader])
    train_ids = np.arange(len(submission.label_space.names), dtype=np.uint8)
    assert np.array_equal(submission.decode(submission.encode(train_ids), "a file"), train_ids)


@every_reader
@pytest.mark.parametrize("split", ["train", "val"])
def test_what_is_listed_can_be_read(dataset: Dataset, split: str) -> None:
    scan_ids = dataset.scan_ids(split)
    assert scan_ids and list(scan_ids) == sorted(set(scan_ids))
    assert [one for block in dataset.blocks(split, 1) for one in block.scan_ids] == list(scan_ids)
    for scan_id in scan_ids:
        scan = dataset.read_scan(scan_id)
        count = len(scan.points)
        assert scan.scan_id == scan_id and count > 0
        assert scan.points.shape == (count, 3) and np.isfinite(scan.points).all()
        assert scan.features.shape == (count, len(dataset.feature_names))
        assert scan.labels is not None and scan.labels.shape == (count,) and (scan.labels != IGNORE).any()
        assert [view.image_id for view in scan.views] == [view.image_id for view in dataset.views(scan_id)]
        files = dataset.input_files(scan_id)
        assert all(part.path.is_file() for part in (*files.points, *files.images))


@every_reader
def test_the_splits_share_no_scan(dataset: Dataset) -> None:
    assert not set(dataset.scan_ids("train")) & set(dataset.scan_ids("val"))
    assert dataset.scan_ids("test") == ()


@every_reader
def test_an_unknown_split_is_refused(dataset: Dataset) -> None:
    with pytest.raises(UnknownName, match="trian"):
        dataset.scan_ids("trian")


@every_reader
def test_a_sequence_that_is_not_there_is_named(reader: str, specs: dict[str, DatasetSpec]) -> None:
    spec = specs[reader]
    with pytest.raises(DataError, match="not-there"):
        open_dataset(replace(spec, splits=SplitSpec(("not-there",), spec.splits.val))).scan_ids("train")


@every_reader
def test_a_misspelt_reader_is_refused_with_the_nearest_known_one(reader: str, tmp_path: Path) -> None:
    dataset = {"reader": reader[:-1], "root": ".", "splits": {"train": ["a"], "val": ["b"]}}
    manifest = {
        "schema": 1,
        "default": "mine",
        "datasets": {"mine": dataset},
        "image_captions": {"name": "palette"},
        "entities": {"name": "palette"},
        "text_embeddings": {"name": "hashing"},
    }
    path = tmp_path / "data_manifest.yaml"
    path.write_text(yaml.safe_dump(manifest))
    with pytest.raises(ManifestError, match=rf"datasets\.mine\.reader.*'{reader}'"):
        read_manifest(path)

"""The manifests of the experiments can still be read after a key is renamed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lass3d_core.manifest.reading import read_manifest
from preprocess.lvm import check_lvm

ROOT = Path(__file__).parents[1]
MANIFESTS = sorted((ROOT / "benchmarks" / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_manifest_of_an_experiment_can_be_read(manifest: Path, tmp_path: Path) -> None:
    """The PandaSet frames are not part of the project, so an empty folder takes their place."""
    there = tmp_path / manifest.relative_to(ROOT)
    there.parent.mkdir(parents=True)
    shutil.copyfile(manifest, there)
    (tmp_path / "data" / "pandaset").mkdir(parents=True)
    read, _ = read_manifest(there, None, check_lvm)
    assert {spec.root.resolve().parent for spec in read.datasets.values()} == {tmp_path.resolve() / "data"}
    assert read.runs.resolve() == tmp_path.resolve() / "runs"


def test_there_are_experiments() -> None:
    assert MANIFESTS

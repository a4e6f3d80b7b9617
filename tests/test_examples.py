"""The package of docs/examples works from outside the repository: method, reader and captioner."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import preprocess.__main__
import train.__main__
from lass3d_core.datasets import open_dataset
from lass3d_core.errors import ManifestError, UnknownName
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.manifest.schema import DatasetSpec, SplitSpec
from tests.own_package import forget, install
from train.data.paired_scans import PairedScans
from train.methods import config_type, name_of

tomllib = pytest.importorskip("tomllib")  # Python 3.11 and later

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
MODULES = ("own_method", "own_reader", "own_captioner")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example package, as if installed."""
    project = tomllib.loads((EXAMPLES / "pyproject.toml").read_text())["project"]
    packages = tmp_path / "site-packages"
    packages.mkdir()
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.syspath_prepend(str(EXAMPLES))
    install(packages, project["entry-points"])
    yield
    forget()
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Six scans in the layout of the example, and a manifest that names its reader and its captioner."""
    rng = np.random.default_rng(0)
    for sequence in ("monday", "tuesday"):
        (tmp_path / "scans" / sequence).mkdir(parents=True)
        for frame in range(3):
            ground = np.column_stack(
                [rng.uniform([2, -8, -1.8], [20, 8, -1.7], (600, 3)), rng.random(600), np.full(600, 7)]
            )
            crate = np.column_stack(
                [rng.uniform([6, -1, -1.6], [9, 1, -0.2], (200, 3)), rng.random(200), np.full(200, 3)]
            )
            stem = tmp_path / "scans" / sequence / f"{frame:06d}"
            np.savetxt(stem.with_suffix(".csv"), np.concatenate([ground, crate]), delimiter=",", fmt="%.3f")
            image = np.full((96, 128, 3), (84, 84, 87), np.uint8)
            image[:48] = 220
            Image.fromarray(image).save(stem.with_suffix(".jpg"))
    content = {
        "schema": 1,
        "default": "mine",
        "datasets": {
            "mine": {
                "reader": "csv_scans",
                "root": "scans",
                "splits": {"train": ["monday"], "val": ["tuesday"]},
            }
        },
        "image_captions": {"name": "horizon", "params": {"bright": 100.0}},
        "entities": {"name": "palette"},
        "text_embeddings": {"name": "hashing"},
    }
    path = tmp_path / "data_manifest.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_names_are_known_once_the_package_is_installed(installed: None) -> None:
    settings = config_type("soft_labels")
    assert name_of(settings()) == "soft_labels" and settings().tau == 0.9


def test_without_the_package_its_names_are_unknown(manifest: Path) -> None:
    with pytest.raises(UnknownName, match="'soft_labels' does not exist; known: supervised"):
        config_type("soft_labels")
    with pytest.raises(
        ManifestError, match=r"datasets\.mine\.reader: 'csv_scans' is not one of semantickitti"
    ):
        read_manifest(manifest)


def test_a_reader_from_outside_reads_what_its_files_hold(installed: None, manifest: Path) -> None:
    dataset = open_dataset(DatasetSpec("csv_scans", manifest.parent / "scans", SplitSpec(("monday",))))
    scan = dataset.read_scan(dataset.scan_ids("train")[0])
    assert scan.points.shape == (800, 3) and scan.features.shape == (800, 1)
    assert scan.labels is not None and np.bincount(scan.labels).tolist() == [600, 200]
    assert len(scan.views) == 1


@pytest.mark.slow
def test_the_three_examples_work_together_from_images_to_a_model(installed: None, manifest: Path) -> None:
    for command in ("captions", "pairs"):
        assert preprocess.__main__.main([command, "--manifest", str(manifest)]) == 0
    artifacts = manifest.parent / "artifacts" / "mine"
    assert "photograph of road and sky" in next((artifacts / "image_captions").glob("*.jsonl")).read_text()
    pairs = PairedScans.open(artifacts)
    assert "road" in pairs.read(pairs.splits["train"][0]).pairs.phrases
    settings = ("schedule.steps=2", "data.labelled_scans=1", "data.unlabelled_scans=1", "data.workers=0")
    given = ["--manifest", str(manifest), "--method", "soft_labels", "--preset", "demo", "--ratio", "50"]
    assert train.__main__.main(["run", *given, *(word for one in settings for word in ("--set", one))]) == 0
    assert (manifest.parent / "runs/mine/soft_labels-demo-r50-s0/model.safetensors").is_file()

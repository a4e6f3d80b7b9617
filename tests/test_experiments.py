"""The manifests of the experiments can still be read after a key is renamed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks import words
from lass3d_core.files.splits import nested_choice
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.plain_yaml import load_yaml
from preprocess.lvm import check_lvm

ROOT = Path(__file__).parents[1]
MANIFESTS = sorted((ROOT / "benchmarks" / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.stem)
def test_manifest_of_an_experiment_can_be_read(manifest: Path, tmp_path: Path) -> None:
    """Real frames are not part of the project, so empty folders take their place."""
    there = tmp_path / manifest.relative_to(ROOT)
    there.parent.mkdir(parents=True)
    shutil.copyfile(manifest, there)
    for name in ("pandaset", "semantickitti_drives"):
        (tmp_path / "data" / name).mkdir(parents=True)
    read, _ = read_manifest(there, None, check_lvm)
    assert {spec.root.resolve().parent for spec in read.datasets.values()} == {tmp_path.resolve() / "data"}
    assert read.runs.resolve() == tmp_path.resolve() / "runs"


def test_there_are_experiments() -> None:
    assert MANIFESTS


def test_real_drives_get_the_words_that_were_measured() -> None:
    """Its data sets are those of benchmarks/words.py, with the same vote and looks, or without either."""
    path = ROOT / "benchmarks" / "experiments" / "real_drives.yaml"
    values = load_yaml(path.read_text())
    sets, network = values["datasets"], values["entities"]["params"]
    ways = {"drives": words.Way("segmenter", looks=True, vote=True), "drives_one_view": words.SEGMENTER}
    for name, spec in sets.items():
        way = ways.get(name, ways["drives"])
        frames = words.DATA[name == "pandaset"]
        wanted = way.manifest(frames, spec["splits"]["train"], Path(network["weights"]))
        used = {**values, **spec}
        for stage in ("image_captions", "entities", "text_embeddings"):
            assert used[stage] == wanted[stage], (name, stage)
        assert used["pairs"] == wanted["pairs"]
        # A data set that keeps out another drive learns from 08, where the words were not measured.
        beyond = set(sets["drives"]["splits"]["val"]) if name.startswith("without_") else set()
        assert set(spec["splits"]["train"]) <= set(frames.sequences) | beyond
    assert Path(network["weights"]).name == words.NETWORK


def test_two_labelled_drives_are_two_drives() -> None:
    """RATIO=10 of 24 frames, with the seeds that the manifest promises."""
    drives = load_yaml((ROOT / "benchmarks" / "experiments" / "real_drives.yaml").read_text())["datasets"][
        "drives"
    ]
    frames = [f"{name}/{number:06d}" for name in drives["splits"]["train"] for number in (0, 3, 6, 9)]
    for seed in range(12):
        chosen = nested_choice(frames, 10.0, seed)
        assert len(chosen) == len({scan_id.split("/")[0] for scan_id in chosen}) == 2

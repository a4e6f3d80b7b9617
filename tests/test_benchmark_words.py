"""benchmarks/words.py: its manifests can be read, and its tables have the figures of audit.json."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks import words
from benchmarks.words import DATA, WAYS, Way, truth_where_named
from benchmarks.words_tables import Cost, Result, tables
from lass3d_core.labels import IGNORE
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.records import NONE, PairedScan, PointTextPairs
from preprocess.lvm import check_lvm


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_the_manifest_of_a_way_can_be_read(way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "SAMPLES", tmp_path)
    network = tmp_path / "network.tflite"
    network.write_bytes(b"")
    for frames in DATA:
        (tmp_path / frames.folder).mkdir()
        path = tmp_path / f"{frames.key}.yaml"
        path.write_text(yaml.safe_dump(way.manifest(frames, ["00"], network)))
        manifest, name = read_manifest(path, None, check_lvm)
        assert name == frames.key and manifest.datasets[name].splits.train == ("00",)
        assert manifest.entities.name == manifest.image_captions.name == way.model
        assert getattr(manifest.entities, "looks", ()) == (("mirrored", "tiled") if way.looks else ())
        assert (getattr(manifest.pairs, "vote", None) is not None) == way.vote


def test_ways_have_folders_of_their_own_and_a_vote_takes_the_images_of_its_way_without() -> None:
    assert len({way.folder for way in WAYS}) == len(WAYS)
    assert all(way.without_vote in WAYS and way.without_vote.looks == way.looks for way in WAYS)


def test_what_is_absent_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "semantickitti" / "sequences" / "04").mkdir(parents=True)
    monkeypatch.setattr(words, "SAMPLES", tmp_path)
    monkeypatch.setattr(words, "MODELS", tmp_path)
    assert DATA[0].there() == ["04"] and DATA[1].there() == []
    said = capsys.readouterr().err
    assert said.count("left out: no frames") == 7 and "sequences/04" not in said
    monkeypatch.setattr(words, "DATA", DATA[1:])
    assert tables(list(words.measured(tmp_path, WAYS))) == "nothing was measured"
    assert "so no segmenter" in capsys.readouterr().err


def audit_of(named: int, votes: bool = False) -> dict[str, Any]:
    """An audit of 200 points, 40 with a phrase, of which `named` percent name their class."""
    voted = [{"name": "below 0.2", "points": 10, "share": 0.25, "named": None}]
    return {
        "coverage": {"train": {"scans": 3, "points": 200, "with_entity": 40}},
        "words": {
            "by_name": {"found": named / 100, "by_chance": 0.123},
            "classes": [
                {"name": "car", "points": 150, "with_phrase": 0.2, "named": named / 100},
                {"name": "road", "points": 50, "with_phrase": 0.0, "named": 0.0},
            ],
            "bins": {
                "by_distance": [
                    {"name": "0-10 m", "points": 90, "with_phrase": 0.3, "named": named / 100},
                    {"name": "10-20 m", "points": 0, "with_phrase": None, "named": None},
                ],
                "by_margin": voted if votes else [],
                "by_images": [],
            },
        },
    }


RESULTS = [
    Result("streets", "palette", audit_of(25), None, Cost(8, 4, 190.4), Cost(8, 16, 100)),
    Result("streets", "segmenter + vote", audit_of(50, votes=True), 0.625, None, Cost(8, 32, 1234.5)),
]


def test_the_tables_have_the_figures_of_the_audits() -> None:
    lines = tables(RESULTS).splitlines()
    for row in (
        "| streets, 3 frames | palette | 20.0 | 25.0 | 12.3 | - |",
        "| streets, 3 frames | segmenter + vote | 20.0 | 50.0 | 12.3 | 62.5 |",
        "| data | words from | 0-10 m | 10-20 m |",
        "| streets | segmenter + vote | 30.0 / 50.0 | - / - |",
        "| class | labelled points | palette | segmenter + vote |",
        "| car | 150 | 20.0 / 25.0 | 20.0 / 50.0 |",
        "| road | 50 | 0.0 / - | 0.0 / - |",
        "| data | words from | below 0.2 |",
        "| streets | segmenter + vote | 25.0 / - |",
        "| streets | palette | 2.00 | 190 | 0.50 | 100 |",
        "| streets | segmenter + vote | - | - | 0.25 | 1234 |",
    ):
        assert row in lines
    assert not any(line.startswith("By number of images") for line in lines)


def test_every_table_is_whole() -> None:
    blocks = [block.splitlines() for block in tables(RESULTS).split("\n\n") if block.startswith("|")]
    assert len(blocks) == 5
    assert all(len({line.count("|") for line in block}) == 1 for block in blocks)


def test_without_a_named_point_there_is_a_dash() -> None:
    audit = audit_of(25)
    audit["words"]["by_name"] = None
    assert "| palette | 20.0 | - | - | - |" in tables([replace(RESULTS[0], audit=audit)])


def scan_of(labels: list[int], entity: list[int], phrases: tuple[str, ...]) -> PairedScan:
    zeros = np.zeros((len(labels), 3), np.float32)
    image = np.zeros((len(labels), 1), np.int16)
    pairs = PointTextPairs(image, np.array(entity, np.int16), ("a",), phrases)
    return PairedScan("00/000000", zeros, zeros[:, :1], np.array(labels, np.uint8), pairs)


def test_the_truth_on_the_points_of_the_first_pairs_by_hand() -> None:
    labels = [0, 0, 1, 1, 1, IGNORE]
    first = scan_of(labels, [0, 0, 0, NONE, 0, 0], ("road",))
    # Right, wrong, right; not named in the first; not named in the second; ignored.
    second = scan_of(labels, [1, 0, 0, 0, NONE, 0], ("road", "car"))
    names = ("car", "road")
    assert truth_where_named([(first, second, names)]) == 2 / 4
    assert truth_where_named([(first, first, names)]) == 2 / 4
    assert truth_where_named([(second, first, names), (first, second, names)]) == (1 + 2) / (4 + 4)
    assert truth_where_named([(scan_of([0], [NONE], ()), scan_of([0], [0], ("car",)), names)]) is None


@pytest.mark.samples
@pytest.mark.slow
def test_real_frames_are_measured_and_a_later_call_resumes(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "SAMPLES", samples)
    monkeypatch.setattr(words, "DATA", [replace(DATA[1], sequences=("00",))])
    (result,) = words.measured(tmp_path, WAYS[:1])
    for cost in (result.captions, result.pairs):
        assert cost is not None and cost.count == 4 and cost.seconds > 0 and cost.peak_mb > 50
    assert result.audit["words"]["points"] > 10_000
    shards = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.h5")}
    assert list(words.measured(tmp_path, WAYS[:1])) == [result]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.h5")} == shards

"""A finished run is asked about other data, from other places, and stays usable."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lass3d_core.errors import StaleArtifact
from lass3d_core.files.pair_index import IndexedShard, read_index, write_index
from lass3d_core.files.shards import ShardReader, write_shard
from lass3d_core.manifest.classes import ClassesSpec
from lass3d_core.manifest.schema import DatasetSpec, SplitSpec
from tests.text_tables import write_text_table
from train.__main__ import main
from train.config import SavedRun, with_settings
from train.data.paired_scans import PairedScans
from train.presets.demo import demo
from train.runs.run import Run
from train.runs.run_folder import RunFolder

RUN = "supervised-demo-r20-s0"


def add_test_shard(tiny, make_tiny_scan) -> None:
    """One more test sequence, as `make captions pairs` would add it after an edit of the manifest."""
    pairs = tiny.artifacts / "pairs"
    header = ShardReader(pairs / "2-000.h5").header
    header = replace(header, shard="3-000", record=header.record | {"params": {"what": "3"}})
    write_shard(pairs / "3-000.h5", header, [make_tiny_scan("3/0", 77)])
    index = read_index(pairs)
    added = IndexedShard("3-000.h5", "test", 1, header.fingerprint)
    write_index(pairs, replace(index, shards=(*index.shards, added)))


def swap_encoder(tiny) -> None:
    """Another text table, with rows of another width."""
    from tests.train.conftest import record, tiny_table

    path = tiny.artifacts / "text_embeddings.h5"
    path.unlink()
    table = tiny_table([f"{scan}/image" for scan in range(14)])
    write_text_table(path, table, record("text_embeddings", "another encoder"))


def test_a_new_test_sequence_leaves_a_finished_run_usable(tiny, make_tiny_scan, capsys) -> None:
    assert main(tiny.training()) == 0
    add_test_shard(tiny, make_tiny_scan)
    for command in ("eval", "clouds", "report"):
        more = ("--split", "test") if command != "report" else ()
        assert main(tiny.arguments(command, "--method", "supervised", "--ratio", "20", *more)) == 0
    assert "3 scans" in capsys.readouterr().out
    metrics = json.loads((tiny.run(RUN) / "metrics-test.json").read_text())
    assert metrics["scans"] == 3


def test_another_text_encoder_leaves_a_text_free_run_finished(tiny, capsys) -> None:
    assert main(tiny.training()) == 0
    capsys.readouterr()
    swap_encoder(tiny)
    assert main(tiny.training()) == 0
    assert "nothing to do, trained before" in capsys.readouterr().out
    assert main(tiny.arguments("eval", "--method", "supervised", "--ratio", "20")) == 0


def test_another_text_encoder_is_another_run_for_a_method_that_reads_text(tiny, capsys) -> None:
    assert main(tiny.training(method="lass3d_plus")) == 0
    swap_encoder(tiny)
    assert main(tiny.training(method="lass3d_plus")) == 2
    assert "the text table was redone" in capsys.readouterr().err
    assert main(tiny.arguments("eval", "--method", "lass3d_plus", "--ratio", "20")) == 0


def of_synonyms(tiny, method: str, synonyms: dict[str, tuple[str, ...]], *settings: str) -> Run:
    """A run of the tiny data with these synonyms in its manifest."""
    classes = ClassesSpec(synonyms=synonyms)
    spec = DatasetSpec("semantickitti", Path(), SplitSpec(("0",), ("1",), ("2",)), classes=classes)
    config = with_settings(demo("tiny", method, 20.0, 0), settings)
    folder = RunFolder(tiny.run("synonyms"))
    return Run.of(config, PairedScans.open(tiny.artifacts), spec, folder, torch.device("cpu"))


def test_other_synonyms_are_another_run_for_a_method_that_reads_them_and_for_no_other(tiny) -> None:
    def digest(synonyms: dict[str, tuple[str, ...]], method: str = "lass3d_plus", *settings: str) -> str:
        return of_synonyms(tiny, method, synonyms, *settings).saved.digest

    none, two = digest({}), {"pole": ("bulb", "light"), "fence": ("partition",)}
    assert len({none, digest(two), digest({"pole": ("bulb",)}), digest({"fence": ("bulb",)})}) == 4
    assert digest({"pole": ()}) == none, "no word is no synonym"
    assert digest({"fence": ("partition",), "pole": ("light", "bulb")}) == digest(two), "in whatever order"
    for method, *settings in (("lass3d",), ("supervised",), ("lass3d_plus", "method.strength=0")):
        assert digest(two, method, *settings) == digest({}, method, *settings)


def test_a_run_with_other_synonyms_says_that_they_are_why(tiny) -> None:
    before, after = (of_synonyms(tiny, "lass3d_plus", {"pole": (word,)}) for word in ("bulb", "light"))
    before.saved.save(before.folder.config)
    assert SavedRun.load(before.folder.config) == before.saved
    with pytest.raises(StaleArtifact, match=r"holds another run \(the set of synonyms was redone\)"):
        after.require_own_folder()


def test_the_synonyms_of_a_run_reach_the_prior(tiny) -> None:
    """The phrase in row 0 is "the ground", which may be a word for a lamp, too."""
    run = of_synonyms(tiny, "lass3d_plus", {})
    names, also = (
        replace(run, synonyms=synonyms).make_method().evidence[0] for synonyms in ({}, {"lamp": ("ground",)})
    )
    assert also[2] > names[2] and also[0] < names[0]


def test_a_moved_project_and_a_copied_run_still_evaluate(tiny, tmp_path, monkeypatch, capsys) -> None:
    assert main(tiny.training()) == 0
    figures = (tiny.run(RUN) / "metrics-val.json").read_text()
    moved = tmp_path / "elsewhere"
    shutil.move(tiny.root, moved)
    shutil.copytree(moved / "runs" / "tiny" / RUN, tmp_path / "copy")
    for folder in (moved / "runs" / "tiny" / RUN, tmp_path / "copy"):
        (folder / "metrics-val.json").unlink()
        manifest = str(moved / "data_manifest.yaml")
        assert main(["eval", "--manifest", manifest, "--run", str(folder)]) == 0
        assert (folder / "metrics-val.json").read_text() == figures


def test_changed_training_scans_are_another_run_and_a_note_for_a_finished_one(
    tiny, rewrite_tiny, capsys
) -> None:
    assert main(tiny.training()) == 0
    rewrite_tiny(tiny, record_salt="other")
    assert main(tiny.training()) == 2
    assert "holds another run (the set of training scans was redone)" in capsys.readouterr().err
    assert main(tiny.arguments("eval", "--method", "supervised", "--ratio", "20")) == 0
    assert "note: " in capsys.readouterr().err


def test_other_classes_are_refused(tiny, capsys) -> None:
    assert main(tiny.training()) == 0
    config = tiny.run(RUN) / "config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps(values | {"class_names": ["one", "two", "three"]}))
    capsys.readouterr()
    assert main(tiny.arguments("eval", "--method", "supervised", "--ratio", "20")) == 2
    said = capsys.readouterr().err
    assert "was trained with the classes one, two, three; these pairs have ground, wall, lamp" in said


def test_the_model_file_labels_as_the_export_does(tiny, capsys) -> None:
    import lass3d_core

    assert main(tiny.training()) == 0
    model = lass3d_core.load(tiny.run(RUN) / "model.safetensors")
    pairs = PairedScans.open(tiny.artifacts)
    assert model.classes == pairs.header.class_names and model.features == pairs.header.feature_names
    from lass3d_core.manifest.reading import read_manifest
    from train.evaluate import predict

    manifest, name = read_manifest(tiny.manifest, None)
    run = Run.existing(RunFolder(tiny.run(RUN)), pairs, manifest.datasets[name], torch.device("cpu"))
    network = run.trained_method().predictor.eval()
    for scan_id in pairs.splits["test"]:
        scan = pairs.read(scan_id)
        expected = predict(network, run.whole_scan(scan_id), run.device)
        assert np.array_equal(model.predict(scan.points, scan.features).labels, expected)


def test_model_copies_the_file_of_a_run_without_its_data(tiny, tmp_path, capsys) -> None:
    assert main(tiny.training()) == 0
    shutil.copytree(tiny.run(RUN), tmp_path / "copy")
    shutil.rmtree(tiny.artifacts)
    into = tmp_path / "handed on" / "model.safetensors"
    assert main(tiny.arguments("model", "--run", str(tmp_path / "copy"), "--into", str(into))) == 0
    assert into.read_bytes() == (tmp_path / "copy" / "model.safetensors").read_bytes()


def test_model_mends_a_damaged_file(tiny, capsys) -> None:
    assert main(tiny.training()) == 0
    path = tiny.run(RUN) / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:500])
    assert main(tiny.arguments("eval", "--run", str(tiny.run(RUN)))) == 2
    assert "make model RUN=folder" in capsys.readouterr().err
    assert main(tiny.arguments("model", "--run", str(tiny.run(RUN)))) == 0
    assert path.read_bytes() == content


def test_model_makes_the_file_again(tiny, capsys) -> None:
    assert main(tiny.training()) == 0
    path = tiny.run(RUN) / "model.safetensors"
    content = path.read_bytes()
    path.unlink()
    assert main(tiny.arguments("model", "--method", "supervised", "--ratio", "20")) == 0
    assert path.read_bytes() == content


def test_augmented_figures_are_a_file_of_their_own(tiny, capsys) -> None:
    assert main(tiny.training()) == 0
    arguments = tiny.arguments("eval", "--method", "supervised", "--ratio", "20", "--tta", "4")
    assert main(arguments) == 0
    assert "the mean of 4 turned and mirrored passes" in capsys.readouterr().out
    assert json.loads((tiny.run(RUN) / "metrics-val-tta4.json").read_text())["passes"] == 4
    assert json.loads((tiny.run(RUN) / "metrics-val.json").read_text())["passes"] == 1


def test_a_temperature_is_fitted_and_stands_in_figures_and_file(tiny, capsys) -> None:
    import lass3d_core

    assert main(tiny.training()) == 0
    metrics = json.loads((tiny.run(RUN) / "metrics-test.json").read_text())
    card = lass3d_core.load(tiny.run(RUN) / "model.safetensors").card
    assert card.temperature == pytest.approx(metrics["temperature"])
    assert 0 <= metrics["ece_calibrated"] <= 1
    assert "calibration error of the confidences" in capsys.readouterr().out


def test_a_run_starts_from_another_models_backbone(tiny, tmp_path, capsys) -> None:
    assert main(tiny.training()) == 0
    model = tiny.run(RUN) / "model.safetensors"
    init = ("--set", f"net.init={model}", "--tag", "started")
    capsys.readouterr()
    assert main(tiny.training(*init, method="mean_teacher")) == 0
    folder = tiny.run("mean_teacher-demo-r20-s0-started")
    record = json.loads((folder / "init.json").read_text())
    assert record["taken"] and not record["other_shape"]
    wrong = ("--set", f"net.init={tmp_path / 'none.safetensors'}", "--tag", "wrong")
    assert main(tiny.training(*wrong)) == 2
    assert "none.safetensors cannot be read" in capsys.readouterr().err


def test_runs_lists_what_was_trained(tiny, capsys) -> None:
    assert main(tiny.training()) == 0
    assert main(tiny.training("--set", "optim.peak_lr=0.02", "--tag", "fast")) == 0
    capsys.readouterr()
    assert main(["runs", "--manifest", str(tiny.manifest)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["run", "data", "ratio", "seed"]
    assert any("fast" in line and "20 %" in line for line in lines)
    assert any("optim.peak_lr=0.02" in line for line in lines)


def test_compare_writes_one_page_of_any_runs(tiny, tmp_path, capsys) -> None:
    assert main(tiny.training()) == 0
    assert main(tiny.training("--set", "optim.peak_lr=0.02", "--tag", "fast", method="mean_teacher")) == 0
    folders = [str(tiny.run(name)) for name in (RUN, "mean_teacher-demo-r20-s0-fast")]
    page = tmp_path / "compare.html"
    assert main(["compare", "--manifest", str(tiny.manifest), *folders, "--into", str(page)]) == 0
    text = page.read_text()
    assert "Mean Teacher (fast, net.stem=4, " in text and "supervised only (net.stem=4, " in text


@pytest.mark.parametrize("command", ["eval", "report", "export", "clouds", "model"])
def test_a_folder_without_a_run_is_one_line(tiny, tmp_path: Path, command: str, capsys) -> None:
    assert main(tiny.arguments(command, "--run", str(tmp_path / "nowhere"))) == 2
    said = capsys.readouterr().err
    assert "is no folder" in said and said.count("\n") == 1

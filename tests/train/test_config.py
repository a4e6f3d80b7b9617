from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lass3d_core.errors import CorruptArtifact, ManifestError, MissingArtifact
from lass3d_core.files.fingerprint import reasons
from lass3d_core.files.json_files import read_json, write_json
from lass3d_core.settings import to_json
from train.config import RunConfig, SavedRun, from_plain, with_settings
from train.methods import METHODS
from train.methods.cps import CpsConfig
from train.presets import PRESETS
from train.presets.demo import demo, demo_room


def lass3d() -> RunConfig:
    return demo("street", "lass3d", 2.0, 0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_survives_json(preset: str, method: str) -> None:
    config = PRESETS[preset]("street", method, 2.0, 3)
    assert from_plain(json.loads(json.dumps(to_json(config))), method) == config


def test_a_saved_run_reads_back(tmp_path: Path) -> None:
    saved = SavedRun(lass3d(), "pairs", "split")
    saved.save(tmp_path / "config.json")
    assert SavedRun.load(tmp_path / "config.json") == saved


def test_a_missing_run_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifact, match="make train"):
        SavedRun.load(tmp_path / "config.json")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 9}', '{"schema": 4, "config": {}, "method_name": "x"}']
)
def test_a_damaged_run_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(CorruptArtifact, match=r"config\.json"):
        SavedRun.load(tmp_path / "config.json")


def test_settings_are_typed() -> None:
    config = with_settings(
        lass3d(), ["method.tau_r=0.8", "method.captions=entity", "net.stem=8", "data.augment.keep=1"]
    )
    assert (config.method.tau_r, config.method.captions, config.net.stem) == (0.8, "entity", 8)
    assert config.data.augment.keep == 1.0


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("method.separatoin=dual", "did you mean 'separation'"),
        ("metod.tau_r=0.8", "did you mean 'method'"),
        ("method.tau_r=high", "expected a .*number"),
        ("method.captions=images", "did you mean 'image'"),
        ("method.tau_r=2", r"tau_r(.|\n)*(at most|less than or equal to) 1"),
        ("net.encoder=[8, 8]", "as many widths"),
        ("net.view=birds_eye", "not one of voxel, range"),
        ("net.image.pitch_deg=[3, -25]", "pitch_deg must rise"),
        ("data.accumulate=0", "accumulate: must be at least 1, got 0"),
        ("data.augment.elastic_m=[[0.2]]", "expected 2 values"),
        ("data.augment.elastic_m=[[0, 1]]", r"elastic_m\[0\]\[0\]: must be above 0, got 0"),
        ("seed=3", "give --seed"),
        ("method=supervised", "give --method"),
        ("tau_r", "key=value"),
    ],
)
def test_a_wrong_setting_is_named_with_what_to_write(setting: str, complaint: str) -> None:
    with pytest.raises(ManifestError, match=complaint):
        with_settings(lass3d(), [setting])


def test_elastic_fields_can_be_set() -> None:
    config = with_settings(lass3d(), ["data.augment.elastic_m=[[0.24, 0.8], [0.8, 3.2]]"])
    assert config.data.augment.elastic_m == ((0.24, 0.8), (0.8, 3.2))


def test_rooms_have_no_range_view() -> None:
    with pytest.raises(ManifestError, match=r"from its sensor.*from_corner=true.*take net.view=voxel"):
        with_settings(demo_room("rooms", "lass3d", 5.0, 0), ["net.view=range"])


def test_a_method_that_was_changed_is_told_from_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    saved = SavedRun(demo("street", "cps", 2.0, 0), "p", "s")
    assert saved.record["params"]["revision"] == 1
    before = saved.digest
    monkeypatch.setattr(CpsConfig, "revision", 2)
    assert saved.digest != before
    assert SavedRun(demo("street", "supervised", 2.0, 0), "p", "s").record["params"]["revision"] == 0


def test_how_a_run_is_watched_and_made_repeatable_is_no_part_of_what_it_is() -> None:
    changed = with_settings(lass3d(), ["schedule.validate_scans=3", "deterministic=true"])
    assert SavedRun(changed, "p", "s").digest == SavedRun(lass3d(), "p", "s").digest
    params = SavedRun(changed, "p", "s").record["params"]
    assert "deterministic" not in params and "validate_scans" not in params["schedule"]


def test_a_run_of_before_validates_on_all_scans() -> None:
    values = to_json(lass3d())
    del values["deterministic"], values["schedule"]["validate_scans"]
    assert from_plain(values, "lass3d") == lass3d()


def test_a_run_of_before_took_both_kinds_of_scans_together() -> None:
    """So it is the same run as with that setting, and can still be evaluated."""
    together = with_settings(lass3d(), ["data.kinds_apart=false"])
    values = to_json(together)
    del values["data"]["kinds_apart"]
    assert from_plain(values, "lass3d") == together


def test_a_run_of_the_range_view_reads_back(tmp_path: Path) -> None:
    saved = SavedRun(with_settings(lass3d(), ["net.view=range"]), "pairs", "split")
    saved.save(tmp_path / "config.json")
    assert SavedRun.load(tmp_path / "config.json") == saved


def test_a_run_of_an_older_version_is_to_be_trained_again(tmp_path: Path) -> None:
    SavedRun(lass3d(), "pairs", "split").save(tmp_path / "config.json")
    values = read_json(tmp_path / "config.json")
    write_json(tmp_path / "config.json", values | {"schema": 1})
    with pytest.raises(CorruptArtifact, match="schema 1, this version reads 5; train again"):
        SavedRun.load(tmp_path / "config.json")


def test_all_wrong_settings_are_reported_together() -> None:
    with pytest.raises(ManifestError, match=r"tau_x.*\| .*steps"):
        with_settings(lass3d(), ["method.tau_x=1", "schedule.steps=many"])


def test_two_runs_that_differ_say_in_what() -> None:
    one = SavedRun(lass3d(), "a", "s")
    other = SavedRun(with_settings(lass3d(), ["method.tau_r=0.8"]), "b", "s")
    assert one.digest != other.digest
    assert reasons(one.record, other.record) == [
        "method tau_r: 0.9 -> 0.8",
        "the set of training scans was redone",
    ]


def test_every_setting_but_the_note_and_the_workers_makes_another_run() -> None:
    def digest(*settings: str) -> str:
        return SavedRun(with_settings(lass3d(), settings), "p", "s").digest

    for setting in ("net.image.width=448", "net.backend=x", "data.panorama=true", "schedule.steps=7"):
        assert digest(setting) != digest()
    noted = replace(lass3d(), note="other words")
    assert SavedRun(noted, "p", "s").digest == digest("data.workers=7") == digest()


def test_keeping_kinds_apart_is_no_part_of_a_run_on_labels_alone() -> None:
    """Nor is its absence of any run: runs of before there was a choice took them together."""
    both, alone = lass3d(), replace(lass3d(), data=replace(lass3d().data, unlabelled_scans=0))
    together = [replace(one, data=replace(one.data, kinds_apart=False)) for one in (both, alone)]
    records = [SavedRun(config, "p", "s").record["params"]["data"] for config in (both, *together, alone)]
    assert ["kinds_apart" in one for one in records] == [True, False, False, False]

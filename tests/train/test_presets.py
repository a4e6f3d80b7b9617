from __future__ import annotations

from pathlib import Path

import pytest

from lass3d_core.errors import UnknownName
from lass3d_core.manifest import DatasetSpec, SimulateSpec, SplitSpec
from train.methods.lass3d import Lass3dConfig
from train.presets import demo, paper, preset_for


def spec(simulate: SimulateSpec | None) -> DatasetSpec:
    return DatasetSpec("semantickitti", Path("data"), SplitSpec(("00",), ("01",)), simulate=simulate)


def test_the_paper_preset_holds_the_values_of_section_4_2() -> None:
    method = paper("semantickitti", "lass3d", 1.0, 0).method
    assert isinstance(method, Lass3dConfig)
    assert method.alpha == 0.999
    assert method.pe_iterations == 5
    assert (method.tau_r, method.tau_v, method.tau_n) == (0.9, 0.05, 0.2)
    assert (method.lambda_u, method.lambda_pe, method.lambda_kl) == (0.1, 0.1, 0.1)


def test_the_paper_preset_follows_lasermix_where_the_paper_refers_to_it() -> None:
    config = paper("semantickitti", "lass3d", 1.0, 0)
    assert (config.net.stem, config.net.encoder, config.net.decoder) == (
        32, (32, 64, 128, 256), (256, 128, 96, 96),
    )  # fmt: skip
    assert (config.data.labelled_scans, config.data.unlabelled_scans, config.data.voxel_m) == (2, 2, 0.05)
    assert (config.optim.name, config.optim.peak_lr, config.optim.weight_decay) == ("sgd", 0.24, 1e-4)
    assert (config.schedule.steps, config.schedule.shape) == (25_000, "cosine")
    assert config.schedule.warm_up * config.schedule.steps == 125
    assert config.note == ""


def test_the_demo_changes_of_the_method_only_what_its_note_says() -> None:
    short, long = demo("street", "lass3d", 2.0, 0), paper("street", "lass3d", 2.0, 0)
    differing = {
        name for name in vars(long.method) if getattr(short.method, name) != getattr(long.method, name)
    }
    assert differing <= {"alpha", "pe_form"}
    for name in differing:
        assert str(getattr(short.method, name)) in short.note


@pytest.mark.parametrize("preset", [paper, demo])
def test_supervised_training_sees_as_many_labelled_scans_and_no_unlabelled_ones(preset) -> None:
    alone, beside = preset("street", "supervised", 2.0, 0).data, preset("street", "lass3d", 2.0, 0).data
    assert alone.labelled_scans == beside.labelled_scans
    assert (alone.unlabelled_scans, beside.unlabelled_scans) == (0, 2)


def test_a_simulated_data_set_gets_the_demo_and_a_real_one_the_paper() -> None:
    assert preset_for(None, spec(SimulateSpec())) is demo
    assert preset_for(None, spec(None)) is paper
    assert preset_for("paper", spec(SimulateSpec())) is paper


def test_an_unknown_preset_or_method_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="known: paper, demo"):
        preset_for("papr", spec(None))
    with pytest.raises(UnknownName, match="did you mean 'supervised'"):
        demo("street", "superwised", 2.0, 0)

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lass3d_core import nets
from lass3d_core.errors import UnknownName
from lass3d_core.manifest.schema import DatasetSpec, SimulateSpec, SplitSpec
from train.config import RunConfig, with_settings
from train.data.batches import StepBatches, batch_loader
from train.data.paired_scans import PairedScans
from train.loop import take_step
from train.methods import METHODS
from train.methods.lass3d import Lass3dConfig
from train.optimiser import make_optimiser
from train.presets import PRESETS, demo_for, preset_for, published_beside
from train.presets.demo import demo, demo_room
from train.presets.drives import drives
from train.presets.published import nuscenes, scannet, semantickitti
from train.presets.street import street, street_room
from train.runs.run import Run
from train.runs.run_folder import RunFolder

PUBLISHED = (semantickitti, scannet, nuscenes)
SHORT = (demo, demo_room, street, street_room, drives)
CPU = torch.device("cpu")
FEW_SCANS = ("data.labelled_scans=1", "data.accumulate=1", "data.workers=0")


def narrow(net: nets.UNetConfig) -> nets.UNetConfig:
    """An eighth of the widths."""
    encoder, decoder = (tuple(width // 8 for width in widths) for widths in (net.encoder, net.decoder))
    return replace(net, stem=net.stem // 8, encoder=encoder, decoder=decoder)


def spec(reader: str = "semantickitti", simulate: SimulateSpec | None = None) -> DatasetSpec:
    return DatasetSpec(reader, Path("data"), SplitSpec(("00",), ("01",)), simulate=simulate)


def scans_per_step(config: RunConfig) -> tuple[int, int]:
    data = config.data
    return data.accumulate * data.labelled_scans, data.accumulate * data.unlabelled_scans


@pytest.mark.parametrize("preset", PUBLISHED)
def test_a_published_recipe_holds_the_values_of_section_4_2(preset) -> None:
    method = preset("any", "lass3d", 1.0, 0).method
    assert method == Lass3dConfig()
    assert method.alpha == 0.999
    assert (method.pe_iterations, method.pe_form) == (5, "paper")
    assert (method.tau_r, method.tau_v, method.tau_n) == (0.9, 0.05, 0.2)
    assert (method.lambda_u, method.lambda_pe, method.lambda_kl) == (0.1, 0.1, 0.1)


@pytest.mark.parametrize(
    ("preset", "most"), [*((one, 0) for one in SHORT), *[(one, 400) for one in PUBLISHED]]
)
def test_published_recipes_validate_on_a_part_of_the_split_and_demos_on_all(preset, most: int) -> None:
    assert preset("any", "lass3d", 1.0, 0).schedule.validate_scans == most


def test_semantickitti_is_lasermix_s_minkunet18() -> None:
    config = semantickitti("kitti", "lass3d", 1.0, 0)
    assert (config.net.stem, config.net.encoder, config.net.decoder, config.net.blocks) == (
        32, (32, 64, 128, 256), (256, 128, 96, 96), 2,
    )  # fmt: skip
    assert scans_per_step(config) == (8, 8)
    assert (config.data.labelled_scans, config.data.voxel_m) == (2, 0.05)
    assert (config.optim.name, config.optim.nesterov) == ("sgd", True)
    assert (config.optim.peak_lr, config.optim.weight_decay) == (0.24, 1e-4)
    assert (config.schedule.steps, config.schedule.shape) == (25_000, "cosine")
    assert config.schedule.warm_up * config.schedule.steps == 125
    augment = config.data.augment
    assert (augment.yaw_rad, augment.flip, augment.scale, augment.shift_m) == (
        math.pi,
        0,
        0.05,
        0,
    )


def test_scannet_is_gpc_s_u_net() -> None:
    config = scannet("rooms", "lass3d", 10.0, 0)
    widths = (config.net.stem, *config.net.encoder)
    assert widths == tuple(32 * level for level in range(1, 8))
    assert config.net.decoder == widths[-2::-1]
    assert scans_per_step(config) == (16, 16)
    assert (config.data.voxel_m, config.data.from_corner) == (0.02, True)
    assert (config.optim.name, config.optim.nesterov) == ("sgd", False)
    assert (config.optim.peak_lr, config.optim.weight_decay) == (0.2, 1e-4)
    assert (config.schedule.shape, config.schedule.warm_up) == ("poly", 0.0)
    augment = config.data.augment
    assert (augment.crop_m, augment.distort, augment.scale, augment.shift_m) == (3.5, 0.1, 0.0, 0.0)
    assert augment.tint == 0.1 / 2  # colours of [-1, 1] in [0, 1]


def test_the_elastic_fields_of_scannet_are_gpc_s_in_metres() -> None:
    """Granularity 6 and 20 voxels of 2 cm, nodes two of them apart; magnitude 40 and 160 voxels."""
    fields = scannet("rooms", "lass3d", 10.0, 0).data.augment.elastic_m
    expected = [(2 * 6 * 0.02, 40 * 0.02), (2 * 20 * 0.02, 160 * 0.02)]
    assert [pytest.approx(field) for field in expected] == list(fields)


@pytest.mark.parametrize(("ratio", "steps"), [(5.0, 38_000), (30.0, 38_000), (40.0, 36_000)])
def test_gpc_takes_fewer_steps_with_40_percent(ratio: float, steps: int) -> None:
    assert scannet("rooms", "lass3d", ratio, 0).schedule.steps == steps


def test_nuscenes_says_which_of_its_values_are_guesses() -> None:
    config = nuscenes("nuscenes", "lass3d", 1.0, 0)
    assert scans_per_step(config) == (8, 8)
    assert config.schedule.steps == 80_000
    assert f"{config.data.voxel_m} m" in config.note
    assert "guesses" in config.note


@pytest.mark.parametrize("preset", [demo, demo_room])
def test_a_demo_changes_of_the_method_only_what_its_note_says(preset) -> None:
    short, long = preset("any", "lass3d", 2.0, 0), semantickitti("any", "lass3d", 2.0, 0)
    differing = {
        name for name in vars(long.method) if getattr(short.method, name) != getattr(long.method, name)
    }
    assert differing <= {"alpha", "pe_form"}
    for value in (*(getattr(short.method, name) for name in differing), f"{short.data.voxel_m} m"):
        assert str(value) in short.note


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_run_of_every_method_and_says_where_its_values_are_from(
    name: str, method: str
) -> None:
    config = PRESETS[name]("any", method, 10.0, 3)
    assert (config.dataset, config.preset, config.ratio, config.seed) == ("any", name, 10.0, 3)
    assert config.method_name == method
    assert len(config.note) > 100


@pytest.mark.parametrize("preset", PRESETS.values())
def test_supervised_training_sees_as_many_labelled_scans_and_no_unlabelled_ones(preset) -> None:
    alone, beside = (scans_per_step(preset("any", method, 2.0, 0)) for method in ("supervised", "lass3d"))
    assert alone == (beside[0], 0)
    assert beside[1] > 0


def test_without_a_name_a_real_data_set_gets_its_recipe_and_a_simulated_one_its_demo() -> None:
    assert preset_for(None, spec()) is semantickitti
    assert preset_for(None, spec("scannet")) is scannet
    assert preset_for(None, spec("nuscenes")) is nuscenes
    assert preset_for(None, spec(simulate=SimulateSpec())) is demo
    assert preset_for(None, spec("scannet", SimulateSpec(world="room"))) is demo_room


def test_paper_is_the_recipe_that_was_published_for_this_kind_of_data() -> None:
    assert preset_for("paper", spec()) is semantickitti
    assert preset_for("paper", spec("scannet", SimulateSpec(world="room"))) is scannet


def test_real_drives_keep_the_published_recipe_by_default() -> None:
    assert preset_for(None, spec()) is semantickitti
    assert preset_for("drives", spec()) is drives


def test_a_name_is_taken_at_its_word() -> None:
    assert preset_for("demo", spec()) is demo
    assert preset_for("semantickitti", spec(simulate=SimulateSpec())) is semantickitti


def test_a_demo_stands_beside_the_recipe_of_its_kind_of_data() -> None:
    assert demo_for(spec("scannet")) is demo_room
    assert published_beside("demo_room") is scannet
    assert published_beside("demo") is semantickitti
    assert published_beside("nuscenes") is nuscenes
    assert published_beside("street") is semantickitti and published_beside("street_room") is scannet
    assert published_beside("drives") is semantickitti


def test_an_unknown_preset_or_method_lists_the_known_ones() -> None:
    with pytest.raises(UnknownName, match=r"known: semantickitti, scannet, .*paper.*did you mean 'paper'"):
        preset_for("papr", spec())
    with pytest.raises(UnknownName, match="did you mean 'supervised'"):
        demo("street", "superwised", 2.0, 0)


@pytest.mark.parametrize(
    ("preset", "features", "millions"),
    [
        (semantickitti, 1, 21.7),
        (nuscenes, 1, 21.7),
        (scannet, 3, 29.2),
        (demo, 1, 0.5),
        (street_room, 3, 0.5),
        (drives, 1, 0.5),
    ],
)
def test_the_backbones_are_as_large_as_they_are_known_to_be(preset, features: int, millions: float) -> None:
    """LaserMix's MinkUNet18-w32 has 21.7 M parameters; GPC's U-Net has about 30 M."""
    backbone = nets.make_backbone(preset("any", "lass3d", 1.0, 0).net, 3 + features)
    count = sum(parameter.numel() for parameter in backbone.parameters())
    assert round(count / 1e6, 1) == millions


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_takes_a_step_with_every_method(tiny, name: str, method: str) -> None:
    """On the few voxels of the tiny scans; LASS3D at full width, the others at an eighth of it."""
    settings = [*FEW_SCANS]
    if method != "supervised":
        settings.append("data.unlabelled_scans=1")
    if method == "lass3d":
        settings.append("method.pe_iterations=2")
    config = with_settings(PRESETS[name]("tiny", method, 20.0, 0), settings)
    if method != "lass3d":
        config = replace(config, net=narrow(config.net))
    run = Run.of(config, PairedScans.open(tiny.artifacts), spec(), RunFolder(tiny.run(name)), CPU)
    network = run.make_method()
    batches = StepBatches(run.pairs, run.split, config.data, 0, run.levels, 1)
    optimiser = make_optimiser(config.optim, network.parameters())
    group = list(batch_loader(batches, 0, config.data.workers))
    figures = take_step(network.train(), optimiser, group, 0, config.optim.max_grad_norm, CPU)
    assert len(group) == 1
    assert math.isfinite(figures["loss"]) and figures["gradient_norm"] > 0
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("preset", "crop"),
    [
        (semantickitti, "fan"),
        (demo, "fan"),
        (scannet, "window"),
        (demo_room, "window"),
        (street, "fan"),
        (drives, "fan"),
        (street_room, "window"),
    ],
)
def test_crops_are_fans_about_a_sensor_and_windows_of_rooms(preset, crop: str) -> None:
    assert preset("any", "gpc", 10.0, 0).method.crop == crop


def test_the_rounds_of_a_demo_reach_the_last_portion_of_cbst() -> None:
    config = demo("any", "cbst", 2.0, 0)
    rounds = config.schedule.steps // config.method.round_steps
    assert config.method.portion_of(rounds) == config.method.portion_limit
    assert f"{config.method.round_steps} steps" in config.note
    assert f"step {demo('any', 'gpc', 2.0, 0).method.labels_first} on" in config.note
    first = demo("any", "lass3d_plus", 2.0, 0).method.labels_first
    assert first == 3 * config.schedule.steps // 10 and f"teach for {first} steps" in config.note


@pytest.mark.parametrize("preset", [demo, demo_room, street, street_room, drives, *PUBLISHED])
def test_batch_norm_keeps_the_kinds_apart_where_a_kind_has_more_scans_than_one(preset) -> None:
    data = preset("any", "mean_teacher", 10.0, 0).data
    assert data.kinds_apart == (data.labelled_scans > 1)


@pytest.mark.parametrize(("long", "short"), [(street, demo), (street_room, demo_room)])
def test_a_long_recipe_has_the_demo_s_data_and_network(long, short) -> None:
    for method in METHODS:
        one, other = long("any", method, 2.0, 0), short("any", method, 2.0, 0)
        assert (one.data, one.net) == (other.data, other.net)
        rate = 5e-3 if long is street else 1e-2
        alike = {"once_per_step": True, "pseudo_label_weights": "none"}
        assert one.optim == replace(other.optim, peak_lr=rate, **alike)
        assert (one.schedule.shape, one.schedule.warm_up) == (other.schedule.shape, other.schedule.warm_up)
        assert one.schedule.steps == 2000 and one.method.alpha == 0.9925


@pytest.mark.parametrize("method", METHODS)
def test_real_scans_have_the_demo_s_recipe_in_smaller_steps(method: str) -> None:
    one, other = drives("any", method, 10.0, 0), demo("any", method, 10.0, 0)
    unlabelled = 0 if method == "supervised" else 1
    assert scans_per_step(one) == (1, unlabelled)
    scans = {"labelled_scans": 1, "unlabelled_scans": unlabelled, "kinds_apart": False}
    coarse = replace(other.data, voxel_m=0.4, **scans)
    assert (one.data, one.net) == (coarse, replace(other.net, image=one.net.image))
    assert one.optim == replace(other.optim, once_per_step=True, pseudo_label_weights="none")
    assert one.schedule == replace(other.schedule, steps=600, validate_every=300, checkpoint_every=100)


@pytest.mark.parametrize("preset", [street, street_room, drives])
def test_the_teacher_s_horizon_is_the_same_share_of_a_long_schedule_as_of_the_demo(preset) -> None:
    shares = []
    for config in (preset("any", "supervised", 2.0, 0), demo("any", "supervised", 2.0, 0)):
        shares.append(1 / (1 - config.method.alpha) / config.schedule.steps)
    assert shares[0] == pytest.approx(shares[1], rel=0.01)


@pytest.mark.parametrize("preset", [street, street_room, drives])
def test_every_method_of_a_long_recipe_rises_and_labels_alone_come_first(preset) -> None:
    of = {name: preset("any", name, 2.0, 0) for name in METHODS}
    ramps = {name: config.method.ramp_steps for name, config in of.items() if name != "supervised"}
    steps, cbst = of["cbst"].schedule.steps, of["cbst"].method
    assert ramps.pop("lass3d_plus") == steps / 10 and set(ramps.values()) == {steps / 5}
    assert of["lass3d_plus"].method.labels_first == cbst.first_round_steps
    assert cbst.first_round_steps > of["cbst"].schedule.warm_up * steps  # after the peak of the rate
    last = (steps - cbst.first_round_steps) // cbst.round_steps
    assert cbst.portion_of(last) == cbst.portion_limit > cbst.portion_of(last - 1)
    assert of["lim3d"].method.distil_from == pytest.approx(steps * 200 / 275, abs=10)
    assert of["lass3d"].method.pe_form == "paper" and of["lass3d"].optim.once_per_step


@pytest.mark.parametrize("preset", [street, street_room, drives])
def test_a_long_recipe_says_what_it_sets(preset) -> None:
    config = preset("any", "supervised", 2.0, 0)
    note = config.note
    teacher, cbst = (preset("any", name, 2.0, 0).method for name in ("mean_teacher", "cbst"))
    said = (teacher.alpha, f"noise {teacher.noise}", f"{teacher.ramp_steps} steps", cbst.first_round_steps)
    learnt = {drives: "which no table reports", street: "the best of four", street_room: "to be chosen"}[
        preset
    ]
    more = (f"in rounds of {cbst.round_steps} steps", f"{config.schedule.steps} steps", learnt)
    assert all(str(value) in note for value in (*said, *more))
    own = {name: preset("any", name, 2.0, 0).method for name in METHODS}
    of = (own[name].lambda_consistency for name in ("mean_teacher", "lasermix", "ignet"))
    assert "weighs {:g} in Mean Teacher, {:g} in LaserMix and {:g} in IGNet".format(*of) in note
    assert f"LASS3D's lambda_u is {own['lass3d'].lambda_u:g}" in note
    plus = own["lass3d_plus"]
    that = {drives: "That of LASS3D+ is {:g}"}.get(preset, "that of LASS3D+ {:g}")
    assert that.format(plus.lambda_u) in note
    assert f"in LASS3D+ from step {plus.labels_first} on over {plus.ramp_steps}" in note
    assert f"contrasts from step {own['gpc'].labels_first} on" in note
    assert f"distils from step {own['lim3d'].distil_from} on" in note

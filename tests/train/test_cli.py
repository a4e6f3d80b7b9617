from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from lass3d_core.files.shards import ShardReader
from train.__main__ import main
from train.commands.flags import parser
from train.evaluate import Metrics
from train.runs.checkpoint import checkpoints


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str], *said: str) -> None:
    """The command ends with status 2 and one line that says everything of `said`."""
    capsys.readouterr()
    assert main(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    for words in said:
        assert words in lines[0]


def test_a_run_is_trained_evaluated_and_then_left_alone(tiny, capsys: pytest.CaptureFixture[str]) -> None:
    run = tiny.run("supervised-demo-r20-s0")
    assert main(tiny.training()) == 0
    assert f"wrote {run}" in capsys.readouterr().out
    names = {path.name for path in run.iterdir()}
    assert {"config.json", "split.json", "environment.json", "log.csv", "events", "checkpoints"} <= names
    weights = checkpoints(run / "checkpoints")[-1].read_bytes()
    assert main(tiny.training()) == 0
    assert "trained before" in capsys.readouterr().out
    assert checkpoints(run / "checkpoints")[-1].read_bytes() == weights


def test_eval_takes_the_figures_again(tiny, capsys: pytest.CaptureFixture[str]) -> None:
    run = tiny.run("supervised-demo-r20-s0")
    assert main(tiny.training()) == 0
    before = Metrics.load(run / "metrics-test.json")
    (run / "metrics-test.json").unlink()
    naming = ["--method", "supervised", "--ratio", "20", "--split", "test"]
    assert main(tiny.arguments("eval", *naming)) == 0
    assert Metrics.load(run / "metrics-test.json") == before
    assert "mIoU" in capsys.readouterr().out


def test_other_settings_in_the_same_folder_are_refused_and_a_tag_helps(tiny, capsys) -> None:
    assert main(tiny.training()) == 0
    refused(tiny.training("--set", "optim.peak_lr=0.02"), capsys, "peak_lr: 0.01 -> 0.02", "--tag NAME")
    assert main(tiny.training("--set", "optim.peak_lr=0.02", "--tag", "slow")) == 0
    refused(
        tiny.arguments("eval", "--method", "supervised", "--ratio", "20", "--set", "optim.peak_lr=0.5"),
        capsys,
        "peak_lr: 0.01 -> 0.5",
    )


def test_other_pairs_make_another_run(tiny, rewrite_tiny: Callable[..., None], capsys) -> None:
    assert main(tiny.training()) == 0
    rewrite_tiny(tiny, record_salt="again")
    refused(tiny.training(), capsys, "the set of training scans was redone", "--tag NAME")


def test_a_run_that_was_never_trained_cannot_be_evaluated(tiny, capsys) -> None:
    refused(tiny.arguments("eval", "--method", "supervised"), capsys, "config.json is missing", "make train")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--ratio", "0"), ("ratio", "(0, 100]")),
        (("--ratio", "101"), ("ratio", "(0, 100]")),
        (("--ratio", "nan"), ("ratio",)),
        (("--ratio", "3"), ("labels none", "10")),
        (("--method", "lass4d"), ("'lass4d'", "did you mean 'lass3d'")),
        (("--preset", "demos"), ("'demos'", "did you mean 'demo'")),
        (("--set", "optim.peak_rl=1"), ("optim.peak_rl", "did you mean 'peak_lr'")),
        (("--set", "schedule.steps=0"), ("steps",)),
        (("--set", "net.backend=torchspars"), ("torchspars", "reference")),
        (("--dataset", "kitti"), ("'kitti'", "known: tiny")),
        (("--tag", "a/b"), ("--tag",)),
        (("--seed", "-1"), ("--seed",)),
        (("--threads", "0"), ("--threads",)),
    ],
)
def test_a_wrong_choice_is_one_line(tiny, capsys, flags: tuple[str, ...], said: tuple[str, ...]) -> None:
    refused(tiny.training(*flags), capsys, *said)


def test_all_scans_labelled_leave_nothing_for_a_semi_supervised_method(tiny, capsys) -> None:
    refused(
        tiny.training("--ratio", "100", method="lass3d"), capsys, "no unlabelled scan", "METHOD=supervised"
    )
    assert main(tiny.training("--ratio", "100")) == 0


def test_missing_pairs_name_the_command_that_makes_them(tiny, capsys) -> None:
    shutil.rmtree(tiny.artifacts)
    refused(tiny.training(), capsys, "index.json is missing", "make pairs")


def test_a_half_set_of_pairs_is_noticed_before_training(tiny, capsys) -> None:
    (tiny.artifacts / "pairs" / "1-000.h5").unlink()
    refused(tiny.training(), capsys, "1-000.h5 is missing", "make pairs")


def test_a_missing_text_table_names_the_command_that_makes_it(tiny, capsys) -> None:
    (tiny.artifacts / "text_embeddings.h5").unlink()
    refused(tiny.training(), capsys, "text_embeddings.h5 is missing", "make captions")


def test_a_shard_that_the_index_does_not_name_is_stale(tiny, capsys) -> None:
    shutil.copy(tiny.artifacts / "pairs" / "1-000.h5", tiny.artifacts / "pairs" / "2-000.h5")
    refused(tiny.training(), capsys, "2-000.h5 is not the shard that the index names", "make pairs")


def test_a_flipped_byte_in_a_scan_stops_with_the_shards_name(tiny, capsys) -> None:
    shard = tiny.artifacts / "pairs" / "0-000.h5"
    content = bytearray(shard.read_bytes())
    for scan in ShardReader(shard).scans():
        content[content.index(scan.points.tobytes()) + 5] ^= 1
    shard.write_bytes(content)
    refused(tiny.training(), capsys, "0-000.h5 is damaged", "make pairs")


def test_a_damaged_checkpoint_stops_a_resumed_run(tiny, capsys) -> None:
    run = tiny.run("supervised-demo-r20-s0")
    assert main(tiny.training()) == 0
    for split in ("val", "test"):
        (run / f"metrics-{split}.json").unlink()
    refused(tiny.training(), capsys, "12 of 12 steps", "--resume")
    last = checkpoints(run / "checkpoints")[-1]
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 4
    last.write_bytes(content)
    refused(tiny.training("--resume"), capsys, "step-000012.pt is damaged", "step-000008")
    last.unlink()
    assert main(tiny.training("--resume")) == 0


def test_a_run_folder_that_cannot_be_written_is_named(tiny, capsys) -> None:
    (tiny.root / "runs").write_text("a file where a folder should be")
    refused(tiny.training(), capsys, "runs", "folder")


def test_the_command_line_is_frozen() -> None:
    data = {"manifest", "dataset", "ratio", "seed", "threads", "command", "after_interrupt"}
    choice = data | {"method", "preset", "tag", "set"}
    finished = choice | {"run"}
    expected = {
        "run": choice | {"resume", "processes", "yes", "log"},
        "eval": finished | {"split", "tta"},
        "report": finished,
        "model": finished | {"into"},
        "runs": {"manifest", "dataset", "command", "after_interrupt"},
        "export": finished | {"split", "into", "tta"},
        "clouds": finished | {"split", "into", "scans", "limit"},
        "view": finished | {"split", "sequence", "limit", "into"},
        "suggest": finished | {"count", "into"},
        "demo": data | {"processes", "tag"},
        "table": {"manifest", "dataset", "command", "after_interrupt", "preset", "tag", "set"}
        | {"table", "seeds", "ratios", "split", "processes", "plan", "yes", "figures"},
    }
    for command, flags in expected.items():
        assert set(vars(parser().parse_args([command]))) == flags

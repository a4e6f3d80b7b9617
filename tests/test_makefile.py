"""The Makefile hands every value to the programs as it was typed: make and the shell read none of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def environment_in(folder: Path) -> Path:
    """An environment whose Python prints its arguments, one JSON list a line."""
    (folder / "bin").mkdir(parents=True)
    python = folder / "bin" / "python"
    program = "import json, sys; print(json.dumps(sys.argv[1:]))"
    python.write_text(f"#!/bin/sh\nexec '{sys.executable}' -S -c '{program}' \"$@\"\n")
    python.chmod(0o755)
    time.sleep(0.01)
    (folder / ".ready").touch()
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment_in(tmp_path_factory.mktemp("environment") / "a path with spaces")


def make(
    environment: Path, *arguments: str, **exported: str
) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """What make did, and the command lines that the programs got."""
    done = subprocess.run(
        ["make", "--no-print-directory", f"VENV={environment}", *arguments],
        cwd=ROOT,
        env={**os.environ, **exported},
        capture_output=True,
        text=True,
        check=False,
    )
    ran = done.returncode == 0 and "--dry-run" not in arguments
    return done, [json.loads(line) for line in done.stdout.splitlines()] if ran else []


def command(environment: Path, *arguments: str, **exported: str) -> list[str]:
    """The last command line that the programs got."""
    done, received = make(environment, *arguments, **exported)
    assert done.returncode == 0, done.stderr
    return received[-1]


NASTY = [
    "it's",
    'a "quoted" word',
    "a;b",
    "a&b",
    "a|b>c<d",
    "$(touch made)",
    "$(shell touch made)",
    "`touch made`",
    "$HOME ${HOME} $$ $@ $(",
    "#no comment",
    "back\\slash\\",
    "*?[a-z]!{x,y}~",
    "50% of @x, -y: a=b",
    "-starts --like an option",
    "Straße → 東京",
    "tab\there",
    "a, b",
]

SINGLE = {  # a variable: the target that reads it, and the option that carries it; "" for none
    "MANIFEST": ("status", "--manifest"),
    "DATASET": ("status", "--dataset"),
    "METHOD": ("train", "--method"),
    "PRESET": ("train", "--preset"),
    "RATIO": ("train", "--ratio"),
    "SEED": ("train", "--seed"),
    "TAG": ("train", "--tag"),
    "PROCESSES": ("train", "--processes"),
    "SPLIT": ("export", "--split"),
    "TABLE": ("table", "--table"),
    "SEEDS": ("table", "--seeds"),
    "RATIOS": ("table", "--ratios"),
    "FIGURES": ("table", "--figures"),
    "ONLY": ("captions", "--only"),
    "LIMIT": ("captions", "--limit"),
    "IMAGE": ("preview", ""),
    "MIRROR": ("weights", "--mirror"),
    "INTO": ("model", "--into"),
    "TEXT": ("query SCAN=08/1", "--text"),
    "SCAN": ("query TEXT=car", "--scan"),
    "RUN": ("eval", "--run"),
    "MODEL": ("predict INPUT=x", ""),
    "INPUT": ("predict MODEL=x", ""),
    "COLUMNS": ("predict MODEL=x INPUT=x", "--columns"),
    "TTA": ("eval", "--tta"),
    "N": ("suggest", "--count"),
    "SEQUENCE": ("view", "--sequence"),
}
LISTS = {
    "SET": ("train", "--set"),
    "LOG": ("train", "--log"),
    "SCANS": ("clouds", ""),
    "RUNS": ("compare", ""),
    "SCALE": ("predict MODEL=x INPUT=x", "--scale"),
    "ONLY": ("bench", ""),
}
FLAGS = {
    "RESUME": ("train", "--resume"),
    "PLAN": ("table", "--plan"),
    "SCORE": ("query TEXT=car SCAN=08/1", "--score"),
    "STALE": ("clean", "--stale"),
    "YES": ("train", "--yes"),
}


def carried(option: str, value: str) -> str:
    return f"{option}={value}" if option else value


ALL_OF_THEM = " ".join(NASTY)


def test_every_value_arrives_as_it_was_typed(environment: Path) -> None:
    for value in NASTY:
        assert f"--tag={value}" in command(environment, "train", f"TAG={value}")
        assert f"--tag={value}" in command(environment, "train", TAG=value)  # from the environment
    assert not (ROOT / "made").exists()


@pytest.mark.parametrize("variable", ["COLUMNS", "LOG"])
def test_what_a_shell_exports_for_itself_is_not_taken(environment: Path, variable: str) -> None:
    target, option = (SINGLE | LISTS)[variable]
    assert not any(
        word.startswith(option) for word in command(environment, *target.split(), **{variable: "80"})
    )


@pytest.mark.parametrize("variable", SINGLE)
def test_every_variable_arrives_as_it_was_typed(environment: Path, variable: str) -> None:
    target, option = SINGLE[variable]
    received = command(environment, *target.split(), f"{variable}={ALL_OF_THEM}")
    assert carried(option, ALL_OF_THEM) in received and not (ROOT / "made").exists()


@pytest.mark.parametrize("variable", LISTS)
def test_a_list_arrives_in_the_pieces_between_its_spaces(environment: Path, variable: str) -> None:
    target, option = LISTS[variable]
    received = command(environment, *target.split(), f"{variable}=first {ALL_OF_THEM}")
    pieces = [carried(option, piece) for piece in ("first", *ALL_OF_THEM.split())]
    start = received.index(pieces[0])
    assert received[start : start + len(pieces)] == pieces


def test_every_variable_of_the_makefile_is_held_to_this() -> None:
    lines = (ROOT / "Makefile").read_text().splitlines()
    declared = {
        line.split("?=")[0].strip() for line in lines if "?=" in line and not line.startswith("export")
    }
    assert declared - {"PYTHON", "VENV"} == {*SINGLE, *LISTS, *FLAGS}


def test_a_line_break_is_refused(environment: Path) -> None:
    done, _ = make(environment, "train", "TAG=a\ntouch made")
    assert done.returncode == 2 and "line break" in done.stderr and not (ROOT / "made").exists()


@pytest.mark.parametrize("variable", FLAGS)
def test_a_flag_is_yes_no_or_one_line(environment: Path, variable: str) -> None:
    target, option = FLAGS[variable]
    for value in ("", "0", "no", "false"):
        assert option not in command(environment, *target.split(), f"{variable}={value}")
    for value in ("1", "yes", "true"):
        assert option in command(environment, *target.split(), f"{variable}={value}")
    for value in ("maybe", "2", "1 0", "nope"):
        done, _ = make(environment, *target.split(), f"{variable}={value}")
        (line,) = done.stderr.splitlines()
        assert done.returncode == 2 and f"{variable} is 1, yes, true, or 0, no, false, not {value}" in line


@pytest.mark.parametrize("value", ["0", "no", "false"])
def test_no_passes_are_the_usual_one(environment: Path, value: str) -> None:
    assert not [word for word in command(environment, "eval", f"TTA={value}") if word.startswith("--tta")]


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("preview", "give IMAGE=file"),
        ("predict INPUT=x", "give MODEL="),
        ("predict MODEL=x", "give INPUT="),
        ("query SCAN=x", "give TEXT="),
        ("query TEXT=x", "SCAN="),
        ("compare", "give RUNS="),
        ("onnx", "give MODEL=file or RUN=folder"),
    ],
)
def test_what_a_target_needs_is_asked_for(environment: Path, target: str, said: str) -> None:
    done, _ = make(environment, *target.split())
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and said in line


def test_commands_that_need_each_other_run_in_order(environment: Path) -> None:
    for more in (("-j4",), ("-j",)):
        _, received = make(environment, *more, "captions", "pairs", "train", "eval")
        assert [words[2] for words in received] == ["captions", "pairs", "run", "eval"]


def test_a_model_of_a_run_is_named_by_its_folder(environment: Path) -> None:
    assert command(environment, "onnx", "RUN=a b's")[-2:] == ["a b's/model.safetensors", "model.onnx"]


@pytest.mark.parametrize(
    ("ending", "extras", "pins"),
    [
        ("", "dev", "constraints.txt"),
        ("-lvm", "dev,lvm", "constraints-lvm.txt"),
        ("-lvm-paper", "dev,lvm,lvm-paper", "constraints-lvm.txt"),
    ],
)
def test_the_ending_of_an_environment_chooses_its_packages(
    tmp_path: Path, ending: str, extras: str, pins: str
) -> None:
    done, _ = make(tmp_path / f"an environment{ending}", "--dry-run", "setup")
    (line,) = [line for line in done.stdout.splitlines() if " pip install " in line]
    assert line.endswith(f" -c {pins} -e '.[{extras}]'")


@pytest.mark.parametrize(
    ("given", "project", "kept"),
    [("EXTRAS=", ".", "plain"), ("EXTRAS=segmenter, ray", ".[segmenter,ray]", "segmenter,ray")],
)
def test_a_user_chooses_the_extras_of_an_environment(
    tmp_path: Path, given: str, project: str, kept: str
) -> None:
    done, _ = make(tmp_path / "an environment", "--dry-run", "setup", given)
    assert f" -e '{project}'\n" in done.stdout and f"echo '{kept}' > " in done.stdout


def test_an_environment_keeps_its_extras_until_others_are_given(environment: Path, tmp_path: Path) -> None:
    plain = environment_in(tmp_path / "plain")
    (plain / ".ready").write_text("plain\n")
    for extras in ((), ("EXTRAS=",)):
        done, _ = make(plain, "--dry-run", "setup", *extras)
        assert " pip install " not in done.stdout
    done, _ = make(plain, "--dry-run", "setup", "EXTRAS=dev")
    assert " -e '.[dev]'" in done.stdout
    for target in ("lint", "test", "test-slow"):
        done, _ = make(plain, target)
        (line,) = done.stderr.splitlines()
        assert done.returncode == 2 and "has no test tools; make setup EXTRAS=dev adds them" in line
    assert " pytest " in make(environment, "--dry-run", "test-quick")[0].stdout


def test_a_world_has_the_name_of_its_target(environment: Path) -> None:
    assert "--dataset=room" in command(environment, "room")
    assert "--dataset=it's" in command(environment, "room", "DATASET=it's")


def test_the_demo_goes_the_whole_way_in_the_world_that_it_is_given(environment: Path) -> None:
    _, received = make(environment, "demo", "DATASET=room")
    assert [words[2] for words in received] == ["simulate", "captions", "pairs", "embed", "demo"]
    assert all("--dataset=room" in words for words in received)
    assert all("--dataset=street" in words for words in make(environment, "demo")[1])


def test_the_demo_has_a_ratio_of_its_own_unless_one_is_given(environment: Path) -> None:
    assert not [word for word in command(environment, "demo") if word.startswith("--ratio")]
    assert "--ratio=7" in command(environment, "demo", "RATIO=7")
    assert "--ratio=7" in command(environment, "demo", RATIO="7")

"""Numbers, tags and names of any size and character: taken, or refused in one line where they enter."""

from __future__ import annotations

import pytest

import preprocess.__main__
from train.__main__ import main

LONG = "x" * 300

COUNTS = ["0", "-1", "1e3", "1.5", "two", "", "nan", "9" * 5000]
SEEDS = ["-1", str(2**32), str(2**63), str(2**64), "1e3", "0,0", "", "nan", "0x1", "9" * 5000]
SHARES = ["0", "-5", "100.1", "nan", "inf", "1e400", "1e-400", "one", "", "1,0"]

WRONG = {
    "--seed": ("run", SEEDS),
    "--seeds": ("table", ["-1", str(2**63), "1e3", ",", "0,,1", "0;1", "0 1", "nan", f"0,{2**32}"]),
    "--ratio": ("run", SHARES),
    "--ratios": ("table", ["0", "nan", "1e400", "10,x", "1 2", "10;20", "1,,2", "101"]),
    "--processes": ("run", [*COUNTS, "1025"]),
    "--steps": ("profile", COUNTS),
    "--threads": ("run", COUNTS),
    "--tta": ("eval", COUNTS),
    "--limit": ("clouds", COUNTS),
    "--count": ("suggest", COUNTS),
    "--tag": (
        "run",
        [LONG, "x" * 101, "..", ".", "a/b", "/a", "", " ", "a b", "Straße", "a\nb", "$(ls)", "-a"],
    ),
    "--dataset": ("runs", [LONG, "..", "a/b", "Straße", "tiny/", " "]),
    "--method": ("run", [LONG, "", "..", "LASS3D"]),
    "--preset": ("run", [LONG, "", "../demo"]),
    "--table": ("table", [LONG, "", "8", "1.0"]),
    "--run": ("eval", [LONG, "", f"a/{LONG}", "/dev/null"]),
    "--manifest": ("runs", [LONG, "", f"a/{LONG}", "/dev/null"]),
}


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("flag", WRONG)
def test_a_wrong_value_is_one_line(tiny, capsys: pytest.CaptureFixture[str], flag: str) -> None:
    command, values = WRONG[flag]
    given = ["--plan"] if command == "table" else []
    for value in values:
        assert main([*tiny.arguments(command), *given, f"{flag}={value}"]) == 2, value
        one_line(capsys)


@pytest.mark.parametrize(("flag", "values"), [("--seed", SEEDS), ("--ratio", SHARES)])
def test_the_audit_judges_as_training_does(
    tiny, capsys: pytest.CaptureFixture[str], flag: str, values: list[str]
) -> None:
    for value in values:
        assert preprocess.__main__.main([*tiny.arguments("audit"), f"{flag}={value}"]) == 2
        assert flag in one_line(capsys)


@pytest.mark.parametrize("more", [("--seed", str(2**32 - 1)), ("--tag", "x" * 100), ("--tag", "a.")])
def test_the_greatest_value_trains(tiny, more: tuple[str, ...]) -> None:
    assert main(tiny.training(*more, "--set", "schedule.steps=1")) == 0


@pytest.mark.parametrize("seeds", ["0,0", "0, 1", f"{2**32 - 1}"])
def test_seeds_of_a_table_may_repeat_and_have_spaces(tiny, seeds: str) -> None:
    assert main([*tiny.arguments("table"), "--plan", "--ratios", "20", "--seeds", seeds]) == 0


@pytest.mark.parametrize(
    "setting",
    [
        f"schedule.steps={10**30}",
        f"schedule.steps={2**31}",
        f"data.labelled_scans={10**12}",
        f"data.unlabelled_scans={10**20}",
        f"data.accumulate={10**22}",
        f"data.workers={10**8}",
        f"net.stem={10**9}",
        f"net.encoder=[{10**20}, 1, 1]",
        "optim.peak_lr=1e400",
        "schedule.steps=" + "9" * 5000,
        "schedule.steps=\U0001f697",
        f"{LONG}=1",
    ],
    ids=lambda setting: setting[:24],
)
def test_a_setting_beyond_all_measure_is_one_line(
    tiny, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    assert main(tiny.training("--set", setting)) == 2
    assert one_line(capsys).startswith("error: --set: ")

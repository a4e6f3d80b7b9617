"""benchmarks/experiments/text_gap.py on the tiny data."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.experiments import text_gap

TINY = ("schedule.steps=2", "net.stem=4", "net.encoder=[6, 6, 6]", "net.decoder=[6, 6, 6]")


def test_every_branch_is_evaluated_on_the_way(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--manifest", str(tiny.manifest), "--ratio", "20", "--seeds", "0", "--every", "1"]
    monkeypatch.setattr(sys, "argv", ["text_gap", *given, "--into", str(tmp_path), "--set", *TINY])
    text_gap.main()
    (table,) = tmp_path.glob("*.csv")
    with table.open() as lines:
        rows = list(csv.DictReader(lines))
    found = {(row["step"], row["branch"], row["points"]) for row in rows}
    wanted = {
        (step, branch, points) for step in "12" for branch in text_gap.BRANCHES for points in text_gap.COUNTED
    }
    assert found == wanted
    assert all(0 <= float(row["miou"]) <= 100 for row in rows)
    assert table.with_suffix(".svg").read_text().startswith("<svg")
    assert "seed 0, step 2, points with a text: student, text" in capsys.readouterr().out

"""benchmarks/experiments/label_prior.py on the tiny data."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from benchmarks.experiments import label_prior
from train.__main__ import main


def test_the_experiment_prints_a_line_for_every_form_and_every_share_of_wrong_phrases(
    tiny: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(tiny.training()) == 0
    monkeypatch.setattr(sys, "argv", ["label_prior", "--manifest", str(tiny.manifest), "--ratio", "20"])
    capsys.readouterr()
    label_prior.main()
    head, columns, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("2 validation scans; labelled: 0/")
    assert columns.split()[-1] == "right"
    named = [*label_prior.FORMS, "P counted on these scans", *label_prior.WRONG]
    assert len(lines) == len(named) and all(line.startswith(name) for line, name in zip(lines, named))
    figures = {name: [float(one) for one in line[38:].split()] for line, name in zip(lines, named)}
    teacher, believed = figures["P counted on these scans"][2:4]
    assert believed >= teacher, "in the tiny data every phrase names the class of its points"
    assert figures["100% of the phrases random"][3] < figures["default"][3]

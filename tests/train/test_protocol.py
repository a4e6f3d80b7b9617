"""The name of the protocol by which scans were labelled stands beside every figure."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lass3d_core.manifest.reading import read_manifest
from train.__main__ import main
from train.config import with_settings
from train.demo.comparison import comparison
from train.demo.runs import demo_plans
from train.report.page import write_report
from train.runs.train_run import train_run

LABELLED = "{protocol: contiguous, order: ['0'], name: first in line}"
TINY = ("schedule.steps=1", "net.stem=4", "net.encoder=[6, 6, 6]", "net.decoder=[6, 6, 6]")


@pytest.fixture
def named(tiny):
    """The tiny project, with a protocol that has a name of its own."""
    text = tiny.manifest.read_text()
    tiny.manifest.write_text(text.replace("simulate: {}", f"simulate: {{}}, labelled: {LABELLED}"))
    return tiny


def test_table_files_and_page_name_the_protocol(named, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(named.training(settings=TINY)) == 0
    assert capsys.readouterr().out.count("(first in line, 20 %, seed 0)") == 2  # validation and test
    folder = named.run("supervised-demo-r20-s0")
    for file in ("metrics-val.json", "metrics-test.json", "split.json"):
        assert json.loads((folder / file).read_text())["protocol"] == "first in line"
    assert json.loads((folder / "split.json").read_text())["labelled"] == ["0/0", "0/1"]
    assert "first in line" in write_report(folder, named.artifacts).read_text(encoding="utf-8")
    choice = [word for setting in TINY for word in ("--set", setting)]
    assert main(named.arguments("eval", "--method", "supervised", "--ratio", "20", *choice)) == 0
    assert "(first in line, 20 %, seed 0)" in capsys.readouterr().out


def test_the_comparison_of_a_demo_names_the_protocol(named) -> None:
    manifest, dataset = read_manifest(named.manifest)
    plan = demo_plans(manifest, dataset, 20.0, 0)[0]
    run = replace(plan, config=with_settings(plan.config, TINY)).open()
    assert train_run(run, resume=False)
    assert "2 labelled scans (first in line, 20 %, seed 0)" in comparison({plan.title: run})

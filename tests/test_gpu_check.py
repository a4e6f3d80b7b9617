"""benchmarks/gpu_check.py: every stage runs on a CPU, and a stage that fails does not end the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.gpu import conformance
from benchmarks.gpu import report as reports
from benchmarks.gpu.report import Report, markdown_table
from benchmarks.gpu_check import NEEDED, NEEDED_BY_THE_LOADER, missing
from lass3d_core.sparse import reference

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "benchmarks" / "gpu_check.py"
OFTEN_THERE = ("PIL", "tensorboard", "plyfile", "pycocotools", "numba", "safetensors", "laspy", "spconv")
"""Packages of this project that the check must not need."""


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return Report(tmp_path / "gpu_check.json", time.time() + 60)


def fails() -> None:
    raise RuntimeError("no kernel image\nis available")


def test_a_stage_that_fails_is_one_line_and_the_next_one_follows(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    report.stage("first", 1, fails)
    report.stage("second", 1, lambda: report.add("maps", voxels=3))
    assert report.errors == ["first: RuntimeError: no kernel image is available"]
    assert report.tables == {"maps": [{"voxels": 3}]}
    assert "ERROR        first: RuntimeError: no kernel image is available\n" in capsys.readouterr().out
    assert "- error: first: RuntimeError" in report.markdown()


def test_a_stage_that_takes_longer_than_what_is_left_is_named(report: Report) -> None:
    report.stage("long", 61, fails)
    assert report.done == [] and report.errors == []
    assert report.left_out[0].startswith("long: ") and report.left_out[0].endswith("it takes some 61")


def test_the_figures_are_kept_after_every_stage_and_a_new_process_goes_on(report: Report) -> None:
    report.stage("first", 1, lambda: report.add("maps", voxels=3))
    report.stage("second", 1, fails)
    other = Report.resumed(report.path)
    assert other == report
    other.stage("second", 1, lambda: other.add("maps", voxels=4))
    assert other.tables == {"maps": [{"voxels": 3}]}


def test_if_the_gpu_answers_no_more_a_new_process_takes_the_next_stages(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Path] = []
    monkeypatch.setattr(reports, "answers", lambda: False)
    monkeypatch.setattr(reports, "go_on", begun.append)
    report.stage("first", 1, fails)
    assert begun == [report.path]
    assert Report.resumed(report.path).done == ["first"]


def test_a_stage_that_kills_the_process_is_an_error_of_the_next_one(report: Report) -> None:
    class Killed(BaseException):
        pass

    def dies() -> None:
        raise Killed

    with pytest.raises(Killed):
        report.stage("first", 1, dies)
    assert Report.resumed(report.path).errors == ["first: the process ended in it"]


def test_a_table_has_the_columns_of_all_rows_and_a_dash_where_one_is_absent() -> None:
    rows: list[dict[str, Any]] = [{"a": 1, "b": 0.00012}, {"a": None, "c": 1.5}]
    wanted = ["| a | b | c |", "| --- | --- | --- |", "| 1 | 1.2e-04 | - |", "| - | - | 1.5 |"]
    assert markdown_table(rows).splitlines() == wanted


def test_what_is_missing_is_named_by_its_package() -> None:
    assert missing({"no_such_module": "no-such-package", "torch": "torch"}) == ["no-such-package"]
    assert missing({**NEEDED, **NEEDED_BY_THE_LOADER}) == []


def without(*modules: str) -> subprocess.CompletedProcess[str]:
    """Import all stages in a process in which `modules` cannot be imported."""
    blocked = f"import sys; sys.modules.update(dict.fromkeys({modules!r})); "
    there = f"sys.path[:0] = {[str(ROOT)]!r}; import benchmarks.gpu.plan"
    return subprocess.run([sys.executable, "-c", blocked + there], capture_output=True, text=True)


def test_no_other_package_is_needed() -> None:
    ended = without(*OFTEN_THERE, *NEEDED_BY_THE_LOADER)
    assert ended.returncode == 0, ended.stderr


def test_a_backend_that_leaves_out_a_kernel_offset_fails(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(reference.SubmanifoldConv):
        def forward(self, x: Tensor, pairs: Any) -> Tensor:
            keep = torch.arange(27).view(-1, 1, 1) != 3
            return self.product.apply(x, self.weight * keep, pairs)

    strided, transposed = reference.StridedConv, reference.TransposedConv
    wrong = SimpleNamespace(SubmanifoldConv=Wrong, StridedConv=strided, TransposedConv=transposed)
    form = conformance.Form("some", "reference", torch.device("cpu"))
    conformance.check_form(report, form, conformance.SMALL)
    monkeypatch.setattr(conformance, "load_backend", lambda name: wrong)
    conformance.check_form(report, form, conformance.SMALL)
    assert [row["verdict"] for row in report.tables["conformance"]] == ["OK"] * 3 + ["FAIL"] * 3
    assert len(report.errors) == 3


def test_maps_that_differ_are_told() -> None:
    maps = [conformance.pyramid_of_shape(shape) for shape in conformance.LARGE[::2]]
    assert conformance.unequal_maps(maps[0], maps[0]) == ""
    assert "differ" in conformance.unequal_maps(*maps)


@pytest.mark.slow
@pytest.mark.timeout(290)
def test_every_stage_runs_on_a_cpu(tmp_path: Path) -> None:
    # From elsewhere, without the path of the checkout. A busy machine may need 4 minutes.
    words = ["--device", "cpu", "--turns", "50", "--minutes", "4", "--small"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"OUT": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PROGRAM), *words]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "ERROR" not in ended.stdout

    table = (tmp_path / "gpu_check.md").read_text()
    assert ended.stdout.endswith(table)
    found = json.loads((tmp_path / "gpu_check.json").read_text())
    assert found["errors"] == []
    assert all(one.startswith(("backend ", "spconv's own network")) for one in found["left_out"])
    tables = found["tables"]
    assert {row["verdict"] for row in tables["conformance"]} == {"OK"}
    assert [row["equal"] for row in tables["maps"]] == ["yes"]
    of_steps = tables["steps"]  # of each backend that is installed
    steps = [(row["preset"], row["method"], row["precision"], row["backend"]) for row in of_steps]
    assert len(steps) == len(set(steps))
    assert [row["backend"] for row in of_steps].count("reference") == 3 * 4 + 1 + 2 * 4
    assert {row["waits counted"] for row in tables["kernels"]} == {1}
    assert {row["precision"] for row in tables["backbone"]} == {"float32", "float16", "bfloat16"}
    assert tables["loader"][0]["steps"] > 0
    for preset, method, precision, _ in steps:
        assert f"| {preset} | {method} | {precision} |" in table

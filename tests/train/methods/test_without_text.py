"""Every method trains where no scan has text, and where a third has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lass3d_core.errors import MissingArtifact
from lass3d_core.files.text_table import TextNames, write_text_rows
from lass3d_core.manifest.schema import DatasetSpec, SplitSpec
from lass3d_core.model.file import read_model
from lass3d_core.records import NONE, PairedScan, PointTextPairs
from tests.train.conftest import record
from train.config import with_settings
from train.data.paired_scans import PairedScans
from train.evaluate import Metrics
from train.methods import METHODS
from train.outputs.query import QueryNetwork
from train.presets import PRESETS
from train.runs.run import Run
from train.runs.run_folder import RunFolder
from train.runs.train_run import train_run

SPEC = DatasetSpec("semantickitti", Path(), SplitSpec(("0",), ("1",), ("2",)))
SMALL = (
    "net.stem=4",
    "net.encoder=[6, 6, 6]",
    "net.decoder=[6, 6, 6]",
    "schedule.steps=2",
    "schedule.validate_every=2",
    "method.alpha=0.25",
)


def without_text(scan: PairedScan) -> PairedScan:
    count = len(scan.points)
    none = PointTextPairs(np.full((count, 1), NONE, np.int16), np.full(count, NONE, np.int16), (), ())
    return replace(scan, pairs=none)


def a_third(scan: PairedScan) -> PairedScan:
    return scan if int(scan.scan_id.rpartition("/")[2]) % 3 == 0 else without_text(scan)


def clear_texts(project: Any) -> None:
    """Write the table that the stage writes where no image has a text."""
    names = TextNames((), np.zeros(0, np.int32), (), ())
    path = project.artifacts / "text_embeddings.h5"
    write_text_rows(path, names, (), np.zeros((0, 64), np.float16), record("text_embeddings", "none"))


def run_of(project: Any, method: str, *settings: str) -> Run:
    config = with_settings(PRESETS["demo"]("tiny", method, 20.0, 0), (*SMALL, *settings))
    pairs = PairedScans.open(project.artifacts)
    return Run.of(config, pairs, SPEC, RunFolder(project.run(method)), torch.device("cpu"))


@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_and_is_evaluated_without_any_text(
    method: str, tiny: Any, rewrite_tiny: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    rewrite_tiny(tiny, without_text)
    clear_texts(tiny)
    run = run_of(tiny, method)
    assert train_run(run, resume=False)
    assert Metrics.load(run.folder.metrics("test")).matrix.sum() > 0
    said = capfd.readouterr().out
    assert "labels for 2 of 10 training scans" in said
    assert ("no scan has text" in said) == run.config.method.reads_text


@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_with_text_for_a_third_of_the_scans(
    method: str, tiny: Any, rewrite_tiny: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    rewrite_tiny(tiny, a_third)
    run = run_of(tiny, method)
    assert train_run(run, resume=False)
    assert Metrics.load(run.folder.metrics("test")).matrix.sum() > 0
    assert ("text for 4 of 10 training scans" in capfd.readouterr().out) == run.config.method.reads_text


@pytest.mark.parametrize(
    "settings",
    [
        ("method.transfer=alignment",),
        ("method.safm.fusion=add",),
        ("method.safm.fusion=concat",),
        ("method.captions=entity", "method.pe_form=paper"),
    ],
)
def test_every_form_of_lass3d_trains_without_any_text(
    settings: tuple[str, ...], tiny: Any, rewrite_tiny: Callable[..., None]
) -> None:
    rewrite_tiny(tiny, without_text)
    clear_texts(tiny)
    assert train_run(run_of(tiny, "lass3d", *settings), resume=False)


def test_a_head_that_learnt_no_text_is_in_no_model_file_and_answers_no_query(
    tiny: Any, rewrite_tiny: Callable[..., None]
) -> None:
    rewrite_tiny(tiny, without_text)
    clear_texts(tiny)
    run = run_of(tiny, "lass3d_plus", "method.query.weight=1")
    assert train_run(run, resume=False)
    card, _ = read_model(run.folder.model)
    assert card.query is None
    with pytest.raises(MissingArtifact, match="learnt none and answers no query"):
        QueryNetwork.of(run)

"""The contract of every line of METHODS, and of a line that a user adds: train, save, load, evaluate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import NonNegativeFloat
from pydantic.dataclasses import dataclass
from torch import Tensor

import lass3d_core
from lass3d_core.errors import UnknownName
from lass3d_core.manifest.schema import DatasetSpec, SplitSpec
from lass3d_core.paper import losses
from lass3d_core.settings import SETTINGS
from train.config import SavedRun, with_settings
from train.data.paired_scans import PairedScans
from train.evaluate import Metrics, predict
from train.methods import METHODS, make_method
from train.methods.contract import Ingredients, MethodConfig, SemiBatch
from train.methods.parts.branches import AveragedNetwork
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
    "schedule.checkpoint_every=1",
    "method.alpha=0.25",
)


@dataclass(frozen=True, config=SETTINGS)
class EntropyConfig(MethodConfig):
    """What the docstring of train.methods tells a user to write."""

    weight: NonNegativeFloat = 0.1


class Entropy(AveragedNetwork):
    """Minimise the entropy of the predictions."""

    def losses(self, batch: SemiBatch, step: int) -> dict[str, Tensor]:
        logits = self.network(batch.features, batch.pyramid)
        entropy = torch.special.entr(logits.softmax(dim=1)).sum(dim=1).mean()
        return {
            "ce_l": losses.cross_entropy(logits, batch.labels, self.class_weights),
            "entropy": self.config.weight * entropy,
        }


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line that registers a method."""
    monkeypatch.setitem(METHODS, "entropy", (EntropyConfig, Entropy))


@pytest.mark.parametrize("name", [*METHODS, "entropy"])
def test_method_trains_saves_loads_and_evaluates(tiny, name: str) -> None:
    config = with_settings(PRESETS["demo"]("tiny", name, 20.0, 0), SMALL)
    folder = RunFolder(tiny.run(name))
    run = Run.of(config, PairedScans.open(tiny.artifacts), SPEC, folder, torch.device("cpu"))
    assert train_run(run, resume=False)

    saved = SavedRun.load(folder.config)
    assert saved.config == config and type(saved.config.method) is METHODS[name][0]
    assert saved.digest == run.saved.digest
    again = Run.of(saved.config, run.pairs, SPEC, folder, torch.device("cpu"))
    fresh, trained = again.make_method().state_dict(), again.trained_method().state_dict()
    assert different(fresh, trained)
    assert Metrics.load(folder.metrics("test")).matrix.sum() > 0

    scan_id = run.pairs.splits["test"][0]
    scan, predictor = run.pairs.read(scan_id), again.trained_method().predictor.eval()
    expected = predict(predictor, run.whole_scan(scan_id), run.device)
    found = lass3d_core.load(folder.model).predict(scan.points, scan.features)
    assert np.array_equal(found.labels, expected)


def different(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return any(not torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_takes_a_method_that_was_added(preset: str) -> None:
    config = PRESETS[preset]("any", "entropy", 10.0, 0)
    assert config.method_name == "entropy" and config.method.weight == 0.1


def test_settings_that_are_in_no_line_are_named(
    ingredients: Ingredients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(METHODS, "entropy")
    with pytest.raises(
        UnknownName, match=r"EntropyConfig is in no line of METHODS in train/methods/__init__"
    ):
        make_method(EntropyConfig(), ingredients)

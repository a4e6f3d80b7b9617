"""One rule says whether class weights count for pseudo-labels, and every method follows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import train.methods
from lass3d_core.manifest.schema import DatasetSpec, SplitSpec
from lass3d_core.nets.superpoints import SuperpointConfig
from train.config import with_settings
from train.data.paired_scans import PairedScans
from train.methods import METHODS, config_type, make_method
from train.methods.contract import Ingredients, Method, PseudoLabelWeights, SemiBatch
from train.methods.parts.branches import SelfTraining
from train.presets.demo import demo
from train.runs.run import Run
from train.runs.run_folder import RunFolder

WEIGHTS = torch.tensor([0.2, 0.5, 1.0, 3.0, 9.0])
LOOSE = SuperpointConfig(angle_deg=90.0, colour_step=0.3)
# The method, its settings, the step, the term with pseudo-labels, and whether it is weighted as published.
TERMS: list[tuple[str, dict[str, Any], int, str, bool]] = [
    ("cps", {}, 0, "cps", False),
    ("cbst", {"round_steps": 1, "portion": 0.5}, 1, "ce_u", True),
    ("lasermix", {"tau": 0.0}, 0, "ce_mix", True),
    ("lim3d", {"distil_from": 1}, 1, "ce_u", True),
    ("sss_net", {"round_steps": 1, "tau": 0.25, "smallest": 2, "regions": LOOSE}, 1, "ce_u", True),
    ("lass3d", {"tau_r": 0.25}, 0, "ce_u", False),
    ("lass3d_plus", {"tau_text": 0.0, "tau_free": 0.0, "ramp_steps": 0}, 0, "ce_u", True),
    ("lass3d_plus", {"tau_text": 0.0, "tau_free": 0.0, "balanced": False}, 0, "ce_u", False),
]
WITHOUT_PSEUDO_LABELS = {"supervised", "mean_teacher", "gpc", "ignet"}


@pytest.fixture
def term(batch: SemiBatch, ingredients: Ingredients) -> Callable[..., Tensor]:
    def of(name: str, settings: dict[str, Any], step: int, key: str, **recipe: Any) -> Tensor:
        torch.manual_seed(0)
        method: Any = make_method(config_type(name)(**settings), replace(ingredients, **recipe)).train()
        spread(method)
        if step:
            method.after_step(step - 1)
        return method.losses(batch, step)[key]

    return of


def spread(method: Method) -> None:
    """Make the predictions differ in class, so that the weights matter."""
    torch.manual_seed(1)
    for name, parameter in method.named_parameters():
        if "classifier" in name or isinstance(method, SelfTraining):
            parameter.data += 0.5 * torch.randn_like(parameter)


@pytest.mark.parametrize(("name", "settings", "step", "key", "weighted"), TERMS)
def test_the_rule_decides_for_every_method_alike(
    name: str,
    settings: dict[str, Any],
    step: int,
    key: str,
    weighted: bool,
    term: Callable[..., Tensor],
) -> None:
    def under(rule: PseudoLabelWeights) -> Tensor:
        return term(name, settings, step, key, class_weights=WEIGHTS, pseudo_label_weights=rule)

    none, labels = under("none"), under("labels")
    assert torch.equal(none, term(name, settings, step, key, class_weights=None))
    assert labels.item() != pytest.approx(none.item(), rel=1e-3)
    assert torch.equal(under("as_published"), labels if weighted else none)


def test_every_method_with_pseudo_labels_is_in_the_list() -> None:
    assert {name for name, *_ in TERMS} == {*METHODS} - WITHOUT_PSEUDO_LABELS


def test_no_method_reads_the_weights_for_pseudo_labels_elsewhere() -> None:
    """A method's file names the weights of the labels beside `labels` alone."""
    folder = Path(train.methods.__file__).parent
    lines = [line for path in folder.glob("*.py") for line in path.read_text().splitlines()]
    read = [line for line in lines if "self.class_weights" in line and "cross_entropy" in line]
    assert len(read) >= len(METHODS)
    assert all("labels, self.class_weights" in line for line in read)
    assert not any("pseudo_labels, self.class" in line or "mixed_labels, self.class" in line for line in read)


def test_the_recipe_s_rule_reaches_the_method(tiny) -> None:
    config = with_settings(demo("tiny", "cps", 20.0, 0), ("optim.pseudo_label_weights=labels",))
    spec = DatasetSpec("semantickitti", Path(), SplitSpec(("0",), ("1",), ("2",)))
    folder = RunFolder(tiny.run("cps"))
    method = Run.of(config, PairedScans.open(tiny.artifacts), spec, folder, torch.device("cpu")).make_method()
    assert method.class_weights is not None
    assert method.pseudo_label_weights is method.class_weights

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lass3d_core.errors import Lass3dError
from lass3d_core.manifest import DatasetSpec, SplitSpec
from train.config import RunConfig, with_settings
from train.evaluate import Metrics
from train.logs import read_log
from train.loop import Surroundings, train
from train.optimiser import make_optimiser
from train.paired_scans import PairedScans
from train.presets import demo
from train.run import Run, train_run
from train.run_folder import RunFolder

CPU = torch.device("cpu")
SPEC = DatasetSpec("semantickitti", Path(), SplitSpec(("0",), ("1",), ("2",)))
TINY = ("net.stem=4", "net.encoder=[6, 6, 6]", "net.decoder=[6, 6, 6]")


class Line(nn.Module):
    """A method that fits w = 1, and in a second round of every step w = 2."""

    def __init__(self, spoil_at: int | None = None) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))
        self.spoil_at = spoil_at
        self.measures = {"share": 0.5}
        self.stepped: list[int] = []

    def losses(self, batch: Tensor, step: int) -> dict[str, Tensor]:
        noise = torch.randn(1).squeeze()
        spoilt = torch.log(-self.w.abs() - 1) if step == self.spoil_at else self.w * 0
        return {"first": (self.w - 1).square().sum() + noise * 0, "second": spoilt.sum()}

    def further_losses(self, batch: Tensor, step: int) -> Iterator[dict[str, Tensor]]:
        yield {"first": (self.w - 2).square().sum()}

    def after_step(self, step: int) -> None:
        self.stepped.append(step)


class Diary:
    """What the loop told its surroundings."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.saved: list[int] = []

    def surroundings(self) -> Surroundings:
        return Surroundings(
            "tiny",
            lambda step, figures: self.rows.append((step, dict(figures))),
            lambda: {"val_miou": 0.25},
            self.saved.append,
        )


def config(*more: str) -> RunConfig:
    settings = ("schedule.steps=10", "schedule.validate_every=4", "schedule.checkpoint_every=5", *more)
    return with_settings(demo("tiny", "supervised", 20.0, 0), settings)


def follow(method: Line, *more: str, first: int = 0) -> Diary:
    diary, run = Diary(), config(*more)
    batches = [torch.zeros(1)] * (run.schedule.steps - first)
    train(
        run, method, make_optimiser(run.optim, method.parameters()), batches, CPU, first, diary.surroundings()
    )
    return diary


def test_every_step_is_logged_with_its_terms_and_measures() -> None:
    rows = follow(Line()).rows
    assert [step for step, _ in rows] == list(range(10))
    figures = rows[0][1]
    assert figures["loss"] == pytest.approx(figures["first"] + figures["second"])
    assert {"share", "rate", "gradient_norm", "seconds", "updates"} <= set(figures)


def test_inner_rounds_are_updates_of_the_optimiser_and_are_counted() -> None:
    method = Line()
    assert all(figures["updates"] == 2 for _, figures in follow(method).rows)
    assert method.stepped == list(range(10))


def test_validation_and_checkpoints_come_when_due_and_at_the_end() -> None:
    diary = follow(Line())
    assert [step for step, figures in diary.rows if "val_miou" in figures] == [3, 7, 9]
    assert diary.saved == [5, 10]


def test_a_resumed_loop_takes_the_steps_that_are_left() -> None:
    assert [step for step, _ in follow(Line(), first=6).rows] == [6, 7, 8, 9]


def test_a_loss_that_is_not_finite_stops_with_its_step_and_name() -> None:
    method = Line(spoil_at=3)
    with pytest.raises(Lass3dError, match=r"step 3: the loss second is nan") as caught:
        follow(method)
    assert "\n" not in str(caught.value)
    assert method.stepped == [0, 1, 2]
    assert torch.isfinite(method.w).all()


def test_the_gradient_is_clipped_to_the_norm_that_is_set() -> None:
    free, clipped = Line(), Line()
    follow(free, "optim.name=sgd", "optim.peak_lr=0.01", "schedule.steps=1")
    follow(clipped, "optim.name=sgd", "optim.peak_lr=0.01", "schedule.steps=1", "optim.max_grad_norm=0.001")
    assert 0 < float(clipped.w.detach()) < 0.01 * float(free.w.detach())


def test_supervised_training_learns_the_tiny_set(tiny) -> None:
    settings = (
        "schedule.steps=40",
        "schedule.validate_every=20",
        "data.augment.keep=1",
        "optim.peak_lr=0.03",
    )
    chosen = with_settings(demo("tiny", "supervised", 20.0, 0), settings)
    folder = RunFolder(tiny.run("learning"))
    run = Run.of(chosen, PairedScans.open(tiny.artifacts), SPEC, folder, CPU)
    assert train_run(run, resume=False)
    losses = [float(row["loss"]) for row in read_log(folder.path / "log.csv")]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    assert Metrics.load(folder.metrics("test")).miou_official > 0.8


@pytest.mark.parametrize("method", ["mean_teacher", "lass3d"])
def test_the_semi_supervised_methods_run_from_end_to_end(tiny, method: str) -> None:
    settings = (*TINY, "schedule.steps=3")
    chosen = with_settings(demo("tiny", method, 20.0, 0), settings)
    folder = RunFolder(tiny.run(method))
    run = Run.of(chosen, PairedScans.open(tiny.artifacts), SPEC, folder, CPU)
    assert train_run(run, resume=False)
    assert not train_run(run, resume=False)
    assert len(read_log(folder.path / "log.csv")) == 3

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from lass3d_core.errors import Lass3dError
from lass3d_core.manifest.schema import DatasetSpec, SplitSpec
from train.config import RunConfig, with_settings
from train.data.batches import StepBatches, batch_loader
from train.data.paired_scans import PairedScans
from train.evaluate import Metrics
from train.loop import Callbacks, take_step, train
from train.methods.contract import Method, SemiBatch
from train.optimiser import make_optimiser
from train.presets.demo import demo
from train.runs.checkpoint import load_latest
from train.runs.logs import read_log
from train.runs.run import Run
from train.runs.run_folder import RunFolder
from train.runs.train_run import train_run

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
        self.heard: list[list[dict[str, float]]] = []

    def losses(self, batch: Tensor, step: int) -> dict[str, Tensor]:
        noise = torch.randn(1).squeeze()
        spoilt = torch.log(-self.w.abs() - 1) if step == self.spoil_at else self.w * 0
        return {"first": (self.w - 1).square().sum() + noise * 0, "second": spoilt.sum()}

    def further_losses(self, batch: Tensor, step: int) -> Iterator[dict[str, Tensor]]:
        yield {"first": (self.w - 2).square().sum()}

    def after_step(self, step: int) -> None:
        self.stepped.append(step)

    def hear(self, step: int, measured: Sequence[Mapping[str, float]]) -> None:
        self.heard.append([dict(one) for one in measured])


class Diary:
    """What the loop told its surroundings."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.saved: list[int] = []

    def surroundings(self) -> Callbacks:
        return Callbacks(
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


@pytest.mark.parametrize(("once", "place"), [("true", 0.56), ("false", 0.74)])
def test_momentum_moves_the_weight_once_per_step_if_the_recipe_says_so(once: str, place: float) -> None:
    """Worked by hand at a rate of 0.1, momentum 0.9: the gradient 2 (w - 1) at 0 leads to 0.2.

    There the second round's, 2 (w - 2), is -3.6: 0.36 more alone, and with momentum 0.1 * 0.9 * 2 beside it.
    """
    method = Line()
    sgd = ("optim.name=sgd", "optim.nesterov=false", "optim.weight_decay=0", "optim.peak_lr=2.5")
    diary = follow(method, *sgd, f"optim.once_per_step={once}", "schedule.steps=1")
    assert diary.rows[0][1]["rate"] == pytest.approx(0.1) and diary.rows[0][1]["updates"] == 2
    assert method.w.item() == pytest.approx(place)


def test_a_plain_round_in_float16_takes_the_scale_out_again() -> None:
    method = Line()
    optimiser = torch.optim.SGD([method.w], 0.1, 0.9)
    scaler = GradScaler("cpu", init_scale=4.0)
    figures = take_step(method, optimiser, [torch.zeros(1)], 0, 0.0, CPU, "float16", scaler, True)
    assert method.w.item() == pytest.approx(0.56)
    assert figures["loss_scale"] == 4 and figures["updates"] == 2


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
    assert method.heard == [[{"share": 0.5}]] * 3, "no step after it is known"


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


class Regression(nn.Module):
    """Fits x w = 1 by least squares, and in a further round for each further column x w = 2, 3, ..."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))
        self.measures: dict[str, Tensor | float] = {}
        self.stepped = 0
        self.heard: list[Mapping[str, float]] = []

    def losses(self, batch: Tensor, step: int) -> dict[str, Tensor]:
        self.measures = {"largest": batch.max(), "columns": float(batch.shape[1])}
        return {"fit": (batch[:, 0] * self.w - 1).square().mean()}

    def further_losses(self, batch: Tensor, step: int) -> Iterator[dict[str, Tensor]]:
        for column in range(1, batch.shape[1]):
            yield {"fit": (batch[:, column] * self.w - 1 - column).square().mean()}

    def after_step(self, step: int) -> None:
        self.stepped += 1

    def hear(self, step: int, measured: Sequence[Mapping[str, float]]) -> None:
        self.heard = list(measured)


def one_step(*batches: Tensor) -> tuple[Regression, dict[str, float]]:
    method = Regression()
    figures = take_step(method, torch.optim.SGD(method.parameters(), lr=0.1), batches, 0, 0.0, CPU)
    return method, figures


def test_two_micro_batches_move_the_weights_as_one_batch_of_both() -> None:
    a, b = torch.tensor([[1.0, 2.0], [2.0, 1.0]]), torch.tensor([[3.0, 1.0], [0.5, 1.0]])
    apart, figures = one_step(a, b)
    together, expected = one_step(torch.cat([a, b]))
    assert apart.w.item() == pytest.approx(together.w.item())
    assert figures["loss"] == pytest.approx(expected["loss"])
    assert figures["gradient_norm"] == pytest.approx(expected["gradient_norm"])
    assert (figures["updates"], apart.stepped) == (2, 1)


def test_figures_of_a_step_are_means_over_its_micro_batches() -> None:
    """At w = 0 every loss is 1."""
    method, figures = one_step(torch.full((1, 1), 2.0), torch.full((1, 1), 6.0))
    assert (figures["loss"], figures["fit"], figures["largest"]) == (1.0, 1.0, 4.0)
    assert method.heard == [{"largest": 2.0, "columns": 1.0}, {"largest": 6.0, "columns": 1.0}]


def test_a_micro_batch_whose_rounds_have_ended_counts_as_standing_still() -> None:
    """Only the first batch has a second round: half of its gradient, for the share of a half."""
    one, two = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0]])
    method, figures = one_step(one, two)
    after_first = 0.1 * 2.0
    assert method.w.item() == pytest.approx(after_first + 0.1 * 0.5 * 2 * (2 - after_first))
    assert figures["updates"] == 2


def test_a_step_takes_as_many_micro_batches_as_it_accumulates() -> None:
    method, diary = Line(), Diary()
    run = config("data.accumulate=3", "schedule.steps=4")
    taken: list[int] = []

    def numbered() -> Iterator[Tensor]:
        for number in range(12):
            taken.append(number)
            yield torch.zeros(1)

    optimiser = make_optimiser(run.optim, method.parameters())
    train(run, method, optimiser, numbered(), CPU, 0, diary.surroundings())
    assert taken == list(range(12))
    assert [step for step, _ in diary.rows] == method.stepped == list(range(4))


def tiny_run(tiny, method: str, tag: str, *more: str) -> Run:
    chosen = with_settings(demo("tiny", method, 20.0, 0), (*TINY, "data.labelled_scans=1", *more))
    return Run.of(chosen, PairedScans.open(tiny.artifacts), SPEC, RunFolder(tiny.run(tag)), CPU)


def first_batches(run: Run, count: int) -> list[SemiBatch]:
    data = run.config.data
    batches = StepBatches(run.pairs, run.split, data, 0, run.levels, count)
    return list(batch_loader(batches, 0, workers=0))


def weights_after(method: Method, batches: list[SemiBatch]) -> list[Tensor]:
    """The trained weights after one step of plain gradient descent at rate 1, from those of `method`."""
    copied = copy.deepcopy(method).train()
    trained = [parameter for parameter in copied.parameters() if parameter.requires_grad]
    take_step(copied, torch.optim.SGD(trained, lr=1.0), batches, 0, 0.0, CPU)
    return [parameter.detach() for parameter in trained]


@pytest.mark.parametrize("method", ["supervised", "mean_teacher", "lass3d"])
def test_the_gradient_of_a_step_is_the_mean_of_those_of_its_micro_batches(tiny, method: str) -> None:
    run = tiny_run(tiny, method, "apart")
    network = run.make_method()
    a, b = first_batches(run, 2)
    both, alone_a, alone_b = (weights_after(network, batches) for batches in ([a, b], [a], [b]))
    for moved, of_a, of_b in zip(both, alone_a, alone_b, strict=True):
        torch.testing.assert_close(moved, (of_a + of_b) / 2, rtol=1e-4, atol=1e-6)


def test_negative_learning_keeps_apart_what_it_has_mined_in_each_micro_batch(tiny) -> None:
    """The same batch twice is that batch once, through all the rounds of the form that predicts again."""
    run = tiny_run(tiny, "lass3d", "mined", "method.pe_form=paper", "method.lambda_pe=1.0")
    network = run.make_method()
    batch, other = first_batches(run, 2)
    once, twice = weights_after(network, [batch]), weights_after(network, [batch, batch])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(once, twice, strict=True))
    mixed = weights_after(network, [batch, other])
    assert not all(torch.allclose(a, b, atol=1e-4) for a, b in zip(once, mixed, strict=True))


def test_a_run_that_accumulates_goes_on_bit_for_bit_where_it_was_stopped(tiny) -> None:
    more = (
        "data.accumulate=2",
        "schedule.steps=4",
        "schedule.checkpoint_every=2",
        "method.pe_form=paper",
    )
    whole = tiny_run(tiny, "lass3d", "whole", *more)
    assert train_run(whole, resume=False)
    stopped = tiny_run(tiny, "lass3d", "stopped", *more)
    shutil.copytree(whole.folder.path, stopped.folder.path)
    (stopped.folder.checkpoints / "step-000004.pt").unlink()
    stopped.folder.metrics("val").unlink()

    assert train_run(stopped, resume=True)
    ends = [load_latest(run.folder.checkpoints, run.saved.digest) for run in (whole, stopped)]
    assert [end.steps_done for end in ends] == [4, 4]
    assert all(torch.equal(value, ends[1].method[name]) for name, value in ends[0].method.items())

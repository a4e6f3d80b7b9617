"""Train a run: the steps that are left, its figures, its model file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from tqdm import tqdm

from lass3d_core.compute import parallel
from lass3d_core.compute.devices import deterministic
from lass3d_core.compute.precision import make_scaler, require_precision
from lass3d_core.errors import DataError
from lass3d_core.files.json_files import write_json
from lass3d_core.nets import make_backbone
from lass3d_core.settings import to_json
from lass3d_core.signals import Request, interruptible
from train.data.batches import RankShare, StepBatches, batch_loader
from train.evaluate import Metrics
from train.loop import Callbacks, train
from train.methods.contract import Method
from train.optimiser import make_optimiser
from train.runs import checkpoint
from train.runs.environment import write_environment
from train.runs.finished_model import write_finished_model
from train.runs.initial_weights import take_weights
from train.runs.logs import RunLog
from train.runs.run import Run
from train.runs.start_line import start_line
from train.runs.stopping import Stopping
from train.runs.validation import final_figures, validate
from train.trackers.contract import TrackedRun
from train.trackers.guarded import Trackers


def train_run(
    run: Run,
    resume: bool,
    introduce: Callable[[Run], str] = start_line,
    trackers: Sequence[str] = (),
) -> bool:
    """Train, evaluate, and write everything into the run's folder. False if that was done before.

    resume: continue an unfinished run from its last checkpoint.
    introduce: what to print before the first step; a line, because several runs may start side by side.
    trackers: names of train/trackers that get the figures, too.
    Raises StaleArtifact if the folder holds another run, Lass3dError if it holds an unfinished one and
    `resume` is false, ManifestError if the GPU lacks the precision, BackendUnavailable if it is to be
    deterministic and an operation cannot be. From the first step on, a signal ends the run with a checkpoint:
    Interrupted.
    """
    leads = parallel.rank() == 0  # of the processes that train together, one writes the files
    with run.folder.locked() if leads else nullcontext():
        run.require_own_folder()
        if run.is_finished:
            return False
        require_precision(run.config.precision, run.device)
        run.require_classes()
        if leads:
            run.folder.require_leave_to_go_on(run.config.schedule.steps, resume)
            run.saved.save(run.folder.config)
            run.split.save(run.folder.split)
            write_environment(run.folder.environment, run.device)
            tqdm.write(introduce(run))
            sys.stdout.flush()  # into a log file before the first line of stderr
            _record_start(run)
        parallel.wait_for_all()
        with deterministic(run.config.deterministic):
            method = run.make_method()
            with interruptible(held=True) as request, _log(run, trackers) as log:
                _finish(run, method, request, log)
    return True


@contextmanager
def _log(run: Run, names: Sequence[str]) -> Iterator[RunLog | None]:
    """The log of the process that writes the files, with the trackers `names`; None in the others."""
    if parallel.rank() > 0:
        yield None
        return
    found = checkpoint.checkpoints(run.folder.checkpoints)
    steps_done = checkpoint.steps_of(found[-1]) if found else 0
    project = f"lass3d-{run.config.dataset}"
    measured = ("val_miou", *(f"final/{split}_miou" for split in run.splits))
    settings = {"method_name": run.config.method_name, **to_json(run.config)}
    tracked = TrackedRun(run.folder.path, project, settings, measured, steps_done)
    with Trackers(tracked, names) as trackers, RunLog(run.folder.path, steps_done, trackers) as log:
        yield log


def _finish(run: Run, method: Method, request: Request, log: RunLog | None) -> None:
    """Take the steps that are left, evaluate, write the model. Raises Interrupted if there is a request."""
    leads = parallel.rank() == 0
    stopping = Stopping(request, run.device)
    _train(run, method, stopping, log)
    evaluated: list[Metrics] = []
    for split in run.splits:
        if leads and evaluated:
            evaluated[-1].save(run.folder.metrics(evaluated[-1].split))
        evaluated.append(run.metrics(method.predictor, split, stopping))
        if log is not None:
            log.tell(run.config.schedule.steps - 1, final_figures(evaluated[-1]))
    if leads:
        _write_model(run, method, evaluated)
        for metrics in evaluated[-1:]:  # the last file: with it a run counts as finished
            metrics.save(run.folder.metrics(metrics.split))


def _record_start(run: Run) -> None:
    """Say and write down what the backbone takes from the model of net.init."""
    config = run.config
    if config.net.init:
        taken = take_weights(config.net.init, make_backbone(config.net, run.pairs.in_channels))
        tqdm.write(str(taken), file=sys.stderr)
        write_json(run.folder.path / "init.json", to_json(taken))


def _write_model(run: Run, method: Method, evaluated: Sequence[Metrics]) -> None:
    try:
        write_finished_model(run, method, evaluated)
    except DataError as error:
        tqdm.write(f"no {run.folder.model.name} was written: {error}", file=sys.stderr)


def _train(run: Run, method: Method, stopping: Stopping, log: RunLog | None) -> None:
    """Take the steps that are left. Raises as `stopping.check` does."""
    config, steps = run.config, run.config.schedule.steps
    optimiser = make_optimiser(config.optim, method.parameters())
    scaler = make_scaler(config.precision, run.device)
    steps_done = 0
    if checkpoint.checkpoints(run.folder.checkpoints):
        last = checkpoint.load_latest(run.folder.checkpoints, run.saved.digest)
        last.restore(method, optimiser, scaler)
        steps_done = last.steps_done
        stopping.saved = _saved(steps_done, steps)
    parallel.broadcast_module(method)
    leads = parallel.rank() == 0

    def save(done: int) -> None:
        if leads:
            checkpoint.save(run.folder.checkpoints, done, run.saved.digest, method, optimiser, scaler)
        stopping.saved = _saved(done, steps)

    part = RankShare(parallel.rank(), parallel.world_size())
    on_gpu = run.device.type == "cuda"
    batches = StepBatches(
        run.pairs, run.split, config.data, config.seed, run.levels, steps, part, for_gpu=on_gpu
    )
    write = log.write if log is not None else _ignore
    measure = partial(validate, run, method.predictor, stopping, log)
    if _lacks_validation(run, log, steps_done):
        write(steps_done - 1, measure())
        stopping.check()
    loader = stopping.until(batch_loader(batches, steps_done, config.data.workers, pinned=on_gpu))
    callbacks = Callbacks(run.folder.path.name, write, measure, save, stopping.agreed)
    train(config, method, optimiser, loader, run.device, steps_done, callbacks, scaler)
    stopping.check()


def _saved(done: int, steps: int) -> str:
    return f"saved at step {done} of {steps}"


def _lacks_validation(run: Run, log: RunLog | None, steps_done: int) -> bool:
    """Whether the run was interrupted while it validated its last step."""
    schedule = run.config.schedule
    due = steps_done and (steps_done % schedule.validate_every == 0 or steps_done == schedule.steps)
    last = log.last if due and log is not None else {}
    lacks = last.get("step") == str(steps_done - 1) and not last.get("val_miou")
    return bool(parallel.all_reduce_max(torch.tensor([int(lacks)], device=run.device)).item())


def _ignore(step: int, figures: Mapping[str, float]) -> None:
    """The log of a process that does not write the files."""

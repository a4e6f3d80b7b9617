"""Train a run: the steps that are left, its figures, its model file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext

from tqdm import tqdm

from lass3d_core.compute import parallel
from lass3d_core.errors import DataError
from lass3d_core.files.json_files import write_json
from lass3d_core.nets import make_backbone
from lass3d_core.paper.metrics import mean_iou
from lass3d_core.settings import to_json
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


def train_run(run: Run, resume: bool) -> bool:
    """Train, evaluate, and write everything into the run's folder. False if that was done before.

    resume: continue an unfinished run from its last checkpoint.
    Raises StaleArtifact if the folder holds another run, Lass3dError if it holds an unfinished one and
    `resume` is false.
    """
    leads = parallel.rank() == 0  # of the processes that train together, one writes the files
    with run.folder.locked() if leads else nullcontext():
        run.require_own_folder()
        if run.is_finished:
            return False
        run.require_classes()
        if leads:
            run.folder.require_leave_to_go_on(run.config.schedule.steps, resume)
            run.saved.save(run.folder.config)
            run.split.save(run.folder.split)
            write_environment(run.folder.environment, run.device)
            _record_start(run)
        parallel.wait_for_all()
        method = _train(run)
        evaluated = []
        for split in run.splits:
            evaluated.append(run.metrics(method.predictor, split))
            if leads:
                evaluated[-1].save(run.folder.metrics(split))
        if leads:
            _write_model(run, method, evaluated)
    return True


def _record_start(run: Run) -> None:
    """Say what the run learns from; say and write down what the backbone takes from the model of net.init."""
    tqdm.write(start_line(run))
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


def _train(run: Run) -> Method:
    """Take the steps that are left; the trained method."""
    config, saved = run.config, run.saved
    method = run.make_method()
    optimiser = make_optimiser(config.optim, method.parameters())
    steps_done = 0
    if checkpoint.checkpoints(run.folder.checkpoints):
        last = checkpoint.load_latest(run.folder.checkpoints, saved.digest)
        method.load_state_dict(last.method)
        optimiser.load_state_dict(last.optimiser)
        steps_done = last.steps_done
    parallel.broadcast_module(method)
    leads = parallel.rank() == 0

    def validate() -> dict[str, float]:
        if "val" not in run.splits:
            return {}  # nothing to measure: a NaN in the log would look like a failure
        return {"val_miou": mean_iou(run.confusion(method.predictor, "val"), run.absent)}

    def save(done: int) -> None:
        if leads:
            checkpoint.save(run.folder.checkpoints, done, saved.digest, method, optimiser)

    part = RankShare(parallel.rank(), parallel.world_size())
    steps = config.schedule.steps
    batches = StepBatches(run.pairs, run.split, config.data, config.seed, run.levels, steps, part)
    with RunLog(run.folder.path, steps_done) if leads else nullcontext() as log:
        on_gpu = run.device.type == "cuda"
        loader = batch_loader(batches, steps_done, config.data.workers, pinned=on_gpu)
        write = log.write if log is not None else _ignore
        callbacks = Callbacks(run.folder.path.name, write, validate, save)
        train(config, method, optimiser, loader, run.device, steps_done, callbacks)
    return method


def _ignore(step: int, figures: Mapping[str, float]) -> None:
    """The log of a process that does not write the files."""

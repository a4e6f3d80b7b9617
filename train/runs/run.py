"""One run from its configuration to its figures: here the parts of the trainer are put together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch

from lass3d_core import nets
from lass3d_core.compute import parallel
from lass3d_core.datasets import submission_of
from lass3d_core.errors import DataError
from lass3d_core.files.fingerprint import canonical_json
from lass3d_core.files.splits import LabelledSplit
from lass3d_core.labels import AbsentClasses
from lass3d_core.manifest.schema import DatasetSpec
from lass3d_core.paper.metrics import mean_iou
from lass3d_core.settings import to_json
from train import methods
from train.config import RunConfig, SavedRun
from train.data.batches import (
    EvaluationScan,
    EvaluationScans,
    RankShare,
    StepBatches,
    batch_loader,
    evaluation_scan,
    scan_loader,
)
from train.data.paired_scans import PairedScans, class_weights
from train.data.phrase_counts import phrase_counts
from train.evaluate import Metrics, confusion, figures_of, with_progress
from train.loop import Callbacks, step_seed, train
from train.methods.contract import Ingredients, Method
from train.optimiser import make_optimiser
from train.runs import checkpoint
from train.runs.environment import write_environment
from train.runs.logs import RunLog
from train.runs.run_folder import RunFolder

EVALUATED = ("val", "test")


@dataclass(frozen=True)
class Run:
    """A configuration, the data that it meets and the folder that it fills.

    absent: the data set's official word on classes that are neither true nor predicted.
    """

    config: RunConfig
    pairs: PairedScans
    split: LabelledSplit
    folder: RunFolder
    device: torch.device
    absent: AbsentClasses = "zero"

    @classmethod
    def of(
        cls,
        config: RunConfig,
        pairs: PairedScans,
        spec: DatasetSpec,
        folder: RunFolder,
        device: torch.device,
    ) -> Run:
        """Choose the labelled scans. Raises DataError where the ratio leaves nothing to learn from."""
        split = pairs.labelled_split(spec.labelled, config.ratio, config.seed)
        if config.data.unlabelled_scans and not split.unlabelled:
            raise DataError(
                f"ratio {config.ratio:g} leaves no unlabelled scan, which {config.method_name} needs; "
                "take a smaller ratio, or METHOD=supervised"
            )
        return cls(config, pairs, split, folder, device, submission_of(spec).absent)

    @cached_property
    def saved(self) -> SavedRun:
        """What identifies the run."""
        split = hashlib.sha256(canonical_json(to_json(self.split)).encode()).hexdigest()
        return SavedRun(self.config, self.pairs.digest, split)

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that can be evaluated, because they have labels."""
        return tuple(split for split in EVALUATED if self.pairs.labelled_scans(split))

    @property
    def is_finished(self) -> bool:
        """Whether its figures are there."""
        return self.folder.config.exists() and self.folder.is_finished(self.saved, self.splits)

    def require_own_folder(self) -> None:
        """Raises StaleArtifact where another run lies in the folder, CorruptArtifact."""
        if self.folder.config.exists():
            self.folder.require_same(self.saved)

    def make_method(self) -> Method:
        """The method with fresh networks, which depend on the seed alone."""
        torch.manual_seed(step_seed(self.config.seed, -1))
        weights = None
        if self.config.optim.class_weights == "inverse_sqrt":
            weights = torch.from_numpy(class_weights(self.pairs.points_per_class(self.split.labelled)))
        ingredients = Ingredients(
            make_backbone=partial(nets.make_backbone, self.config.net, self.pairs.in_channels),
            num_classes=self.pairs.num_classes,
            text_dim=self.pairs.text_table.dim,
            class_weights=weights,
            phrase_counts=partial(
                phrase_counts,
                self.pairs,
                self.split.labelled,
                self.config.data.stress.of_labelled(),
                self.config.seed,
            ),
        )
        return methods.make_method(self.config.method, ingredients).to(self.device)

    def trained_method(self) -> Method:
        """The method after its last step. Raises MissingArtifact, CorruptArtifact."""
        self.folder.require_trained(self.config.schedule.steps)
        last = checkpoint.load_latest(self.folder.checkpoints, self.saved.digest)
        method = self.make_method()
        method.load_state_dict(last.method)
        return method

    def whole_scan(self, scan_id: str) -> EvaluationScan:
        """One scan, as it is evaluated."""
        return evaluation_scan(self.pairs.read(scan_id), self.config.data, self.levels)

    def whole_scans(self, split: str) -> EvaluationScans:
        """The scans of `split` that have labels, as they are evaluated."""
        return self.whole_scans_of(self.pairs.labelled_scans(split))

    def whole_scans_of(self, scan_ids: Sequence[str]) -> EvaluationScans:
        """These scans, as they are evaluated."""
        return EvaluationScans(self.pairs, scan_ids, self.config.data, self.levels)

    @property
    def levels(self) -> int:
        """Levels of kernel maps that the backbone asks for."""
        return self.config.net.levels

    def evaluated(self, split: str) -> Metrics:
        """The figures on `split` as they were saved. Raises MissingArtifact, CorruptArtifact."""
        return Metrics.load(self.folder.metrics(split))

    def metrics(self, method: Method, split: str, line: int = 0) -> Metrics:
        """Evaluate the method's predictor on `split`. Raises DataError where no scan of it has labels."""
        scans = self.whole_scans(split)
        if not len(scans):
            raise DataError(f"no scan of the split {split} has labels; it cannot be evaluated")
        matrix = self.confusion(method, split, line)
        return Metrics(
            run_digest=self.saved.digest,
            split=split,
            class_names=self.pairs.header.class_names,
            scans=len(scans),
            protocol=self.split.protocol,
            ratio=self.config.ratio,
            seed=self.config.seed,
            labelled_scans=len(self.split.labelled),
            training_scans=len(self.pairs.splits["train"]),
            steps=self.config.schedule.steps,
            **figures_of(matrix, self.absent),
        )

    def confusion(self, method: Method, split: str, line: int | None = None) -> np.ndarray:
        """The confusion (C,C) over all points of the labelled scans of `split`; processes share the scans.

        line: where a progress bar is drawn, if any.
        """
        scan_ids = self.pairs.labelled_scans(split)[parallel.rank() :: parallel.world_size()]
        ahead: Iterable[EvaluationScan] = scan_loader(self.whole_scans_of(scan_ids), self.config.data.workers)
        if line is not None and parallel.rank() == 0:
            ahead = with_progress(ahead, len(scan_ids), f"evaluating {split}", line)
        matrix = confusion(method.predictor, ahead, self.pairs.num_classes, self.device)
        return parallel.all_reduce_sum(torch.from_numpy(matrix).to(self.device)).cpu().numpy()


def train_run(run: Run, resume: bool, line: int = 0) -> bool:
    """Train, evaluate and write everything into the run's folder; False where that had been done before.

    resume: go on from the last checkpoint of an unfinished run. line: of the terminal, for the progress bars.
    Raises StaleArtifact where the folder holds another run, Lass3dError where it holds an unfinished one.
    """
    leads = parallel.rank() == 0  # of the processes that train together, this one writes
    with run.folder.locked() if leads else nullcontext():
        run.require_own_folder()
        if run.is_finished:
            return False
        if leads:
            run.folder.require_leave_to_go_on(run.config.schedule.steps, resume)
            run.saved.save(run.folder.config)
            run.split.save(run.folder.split)
            write_environment(run.folder.environment, run.device)
        parallel.wait_for_all()
        method = _train(run, line)
        for split in run.splits:
            metrics = run.metrics(method, split, line)
            if leads:
                metrics.save(run.folder.metrics(split))
    return True


def _train(run: Run, line: int) -> Method:
    """Take the steps that are left."""
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
        return {"val_miou": mean_iou(run.confusion(method, "val"), "dropped")}

    def save(done: int) -> None:
        if leads:
            checkpoint.save(run.folder.checkpoints, done, saved.digest, method, optimiser)

    part = RankShare(parallel.rank(), parallel.world_size())
    steps = config.schedule.steps
    batches = StepBatches(run.pairs, run.split, config.data, config.seed, run.levels, steps, part)
    with RunLog(run.folder.path, steps_done) if leads else nullcontext() as log:
        on_gpu = run.device.type == "cuda"
        ahead = batch_loader(batches, steps_done, config.data.workers, pinned=on_gpu)
        write = log.write if log is not None else _nothing
        around = Callbacks(run.folder.path.name, write, validate, save, line)
        train(config, method, optimiser, ahead, run.device, steps_done, around)
    return method


def _nothing(step: int, figures: Mapping[str, float]) -> None:
    """What a process logs that does not lead."""

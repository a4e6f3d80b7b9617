"""One run, from its configuration to its figures. This file puts the parts of the trainer together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import nn

from lass3d_core import nets
from lass3d_core.compute import parallel
from lass3d_core.datasets import submission_of
from lass3d_core.datasets.places import LABELS
from lass3d_core.errors import DataError, StaleArtifact
from lass3d_core.files.fingerprint import canonical_json
from lass3d_core.files.splits import LabelledSplit, spread
from lass3d_core.labels import AbsentClasses
from lass3d_core.manifest.schema import DatasetSpec
from lass3d_core.model.calibration import CalibrationError
from lass3d_core.model.file import read_model
from lass3d_core.model.network import load_weights, make_network
from lass3d_core.model.predict import load
from lass3d_core.progress.bars import progress_bar
from lass3d_core.records import labels_or_ignore
from lass3d_core.settings import to_json
from train import methods
from train.config import RunConfig, SavedRun
from train.data.evaluation_batches import EvaluationBatch, evaluation_batches
from train.data.evaluation_scans import EvaluationScan, EvaluationScans, evaluation_scan, in_camera
from train.data.paired_scans import PairedScans, class_weights
from train.data.phrase_counts import phrase_counts
from train.evaluate import (
    LogitSample,
    Metrics,
    batches_with_progress,
    both_figures,
    confusions,
    confusions_of,
)
from train.loop import step_seed
from train.methods.contract import Ingredients, Method
from train.report.words import counted, labels_of
from train.runs import checkpoint
from train.runs.initial_weights import digest_of, initialised
from train.runs.run_folder import RunFolder
from train.runs.stopping import Stopping

EVALUATED = ("val", "test")

SAMPLED_POINTS = 400_000
"""Points of a split on which the confidences are judged."""


@dataclass(frozen=True)
class Run:
    """A configuration, its data, and the folder for its results.

    split: which training scans keep their labels.
    absent: how the official evaluator counts classes with no true and no predicted point.
    synonyms: class name -> further words for it, from the manifest.
    """

    config: RunConfig
    pairs: PairedScans
    split: LabelledSplit
    folder: RunFolder
    device: torch.device
    absent: AbsentClasses = "zero"
    known: SavedRun | None = None
    synonyms: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def existing(cls, folder: RunFolder, pairs: PairedScans, spec: DatasetSpec, device: torch.device) -> Run:
        """The run that was saved in `folder`, to be asked about `pairs`.

        Its settings and its labelled scans are those of its training. The pairs may hold other scans.
        Raises MissingArtifact, CorruptArtifact, StaleArtifact if classes or features differ.
        """
        saved = SavedRun.load(folder.config)
        _require_fit(folder, "classes", saved.class_names, pairs.header.class_names)
        _require_fit(folder, "features", saved.feature_names, pairs.header.feature_names)
        split = LabelledSplit.load(folder.split)
        absent, synonyms = submission_of(spec).absent, spec.classes.synonyms
        return cls(saved.config, pairs, split, folder, device, absent, saved, synonyms)

    @classmethod
    def of(
        cls, config: RunConfig, pairs: PairedScans, spec: DatasetSpec, folder: RunFolder, device: torch.device
    ) -> Run:
        """Choose the labelled scans. Raises DataError if there are none, or too few scans of a kind."""
        if not pairs.labelled_scans("train"):
            scans = counted(len(pairs.splits["train"]), "training scan")
            raise DataError(
                f"0 of {scans} of {config.dataset} have labels; label files belong into "
                f'{LABELS[spec.reader]} below {spec.root}; then run "make pairs"'
            )
        split = pairs.labelled_split(spec.labelled, config.ratio, config.seed)
        if config.data.unlabelled_scans and not split.unlabelled:
            raise DataError(
                f"ratio {config.ratio:g} leaves no unlabelled scan, which {config.method_name} needs; "
                "take a smaller ratio, or METHOD=supervised"
            )
        absent = submission_of(spec).absent
        return cls(config, pairs, split, folder, device, absent, synonyms=spec.classes.synonyms)

    @cached_property
    def saved(self) -> SavedRun:
        """The configuration with the digests of what training reads: the identity of the run."""
        if self.known is not None:
            return self.known
        config, pairs = self.config, self.pairs
        return SavedRun(
            config,
            pairs=pairs.training_digest,
            split=hashlib.sha256(canonical_json(to_json(self.split)).encode()).hexdigest(),
            texts=pairs.text_digest if config.method.reads_text else "",
            init=digest_of(config.net.init) if config.net.init else "",
            synonyms=self._words if config.method.reads_synonyms else "",
            class_names=pairs.header.class_names,
            feature_names=pairs.header.feature_names,
        )

    @property
    def _words(self) -> str:
        """The digest of the manifest's synonyms, in whatever order they stand; empty if there are none."""
        words = {name: sorted(found) for name, found in self.synonyms.items() if found}
        return hashlib.sha256(canonical_json(words).encode()).hexdigest() if words else ""

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of EVALUATED that have labels."""
        return tuple(split for split in EVALUATED if self.pairs.labelled_scans(split))

    @property
    def left_out(self) -> tuple[str, ...]:
        """A line for each split of EVALUATED that has scans, and labels for none."""
        scans = {split: len(self.pairs.splits[split]) for split in EVALUATED if split not in self.splits}
        return tuple(
            f"{labels_of(0, count, split)}, so it is not evaluated" for split, count in scans.items() if count
        )

    @property
    def is_finished(self) -> bool:
        """Whether the folder holds the figures of this run."""
        return self.folder.config.exists() and self.folder.is_finished(self.saved, self.splits)

    def require_own_folder(self) -> None:
        """Raises StaleArtifact if the folder holds another run, CorruptArtifact if it is damaged."""
        if self.folder.config.exists():
            self.folder.require_same(self.saved)

    def make_method(self) -> Method:
        """The method with fresh networks. They depend on the seed alone."""
        torch.manual_seed(step_seed(self.config.seed, -1))
        weights = None
        if self.config.optim.class_weights == "inverse_sqrt":
            weights = torch.from_numpy(class_weights(self.pairs.points_per_class(self.split.labelled)))
        make_backbone: Callable[[], nn.Module] = partial(
            nets.make_backbone, self.config.net, self.pairs.in_channels
        )
        if self.config.net.init:
            make_backbone = initialised(make_backbone, self.config.net.init)
        ingredients = Ingredients(
            make_backbone=make_backbone,
            num_classes=self.pairs.num_classes,
            text_dim=self.pairs.text_table.dim,
            class_weights=weights,
            phrase_counts=partial(phrase_counts, self.pairs, self.split.labelled, self.synonyms),
            pseudo_label_weights=self.config.optim.pseudo_label_weights,
        )
        return methods.make_method(self.config.method, ingredients).to(self.device)

    def trained_predictor(self) -> nn.Module:
        """The trained network that sees points alone, in eval mode. Raises MissingArtifact, CorruptArtifact.

        It comes from the model file if there is one, and then needs no text table.
        """
        if self.folder.model.is_file():
            card, weights = read_model(self.folder.model)
            if card.origin.digest == self.saved.digest:
                network = make_network(card)
                load_weights(network, weights, self.folder.model)
                return network["segmenter"].eval().to(self.device)
        return self.trained_method().predictor.eval()

    def trained_method(self) -> Method:
        """The method after the last step. Raises MissingArtifact, CorruptArtifact."""
        self.folder.require_trained(self.config.schedule.steps)
        last = checkpoint.load_latest(self.folder.checkpoints, self.saved.digest)
        method = self.make_method()
        last.restore(method)
        return method

    def whole_scan(self, scan_id: str) -> EvaluationScan:
        """One scan for evaluation."""
        on_gpu = self.device.type == "cuda"
        scan = self.pairs.read(scan_id)
        return evaluation_scan(scan, self.config.data, self.levels, for_gpu=on_gpu)

    def whole_scans(self, split: str) -> EvaluationScans:
        """The scans of `split` that have labels, for evaluation."""
        return self.whole_scans_of(self.pairs.labelled_scans(split))

    def whole_scans_of(self, scan_ids: Sequence[str]) -> EvaluationScans:
        """These scans, for evaluation."""
        on_gpu = self.device.type == "cuda"
        return EvaluationScans(self.pairs, scan_ids, self.config.data, self.levels, for_gpu=on_gpu)

    @property
    def levels(self) -> int:
        """Levels of kernel maps that the backbone needs."""
        return self.config.net.levels

    @property
    def validated_scans(self) -> Sequence[str]:
        """The scans that a validation during training sees: of val, with labels."""
        scan_ids = self.pairs.labelled_scans("val")
        return spread(scan_ids, self.config.schedule.validate_scans or len(scan_ids))

    def evaluated(self, split: str) -> Metrics:
        """The saved figures on `split`. Raises MissingArtifact, CorruptArtifact."""
        return Metrics.load(self.folder.metrics(split))

    def metrics(self, predictor: nn.Module, split: str, stopping: Stopping | None = None) -> Metrics:
        """Evaluate `predictor` on `split`. Raises DataError if no scan of it has labels.

        The temperature of the confidences is fitted on the validation split, and applied to the others.
        stopping: asked after each batch; then raises as its `check` does.
        """
        scan_ids = self._labelled_scans(split)
        sample = LogitSample(SAMPLED_POINTS, len(scan_ids))
        title = f"evaluating {split}"
        matrices = self.confusions(predictor, scan_ids, title, sample=sample, stopping=stopping)
        if stopping is not None:
            stopping.check()
        temperature = sample.fit_temperature() if split == "val" else self.fitted_temperature()
        return self._metrics(
            matrices,
            split,
            temperature=temperature,
            ece=sample.error(1.0),
            ece_calibrated=sample.error(temperature) if temperature else None,
        )

    def augmented_metrics(self, split: str, tta: int) -> Metrics:
        """Evaluate the run's model file by the mean of `tta` passes over turned and mirrored scans.

        Raises DataError, MissingArtifact if there is no model file, CorruptArtifact.
        """
        model = load(self.folder.model).to(self.device)
        classes, error = self.pairs.num_classes, CalibrationError()
        matrices = np.zeros((2, classes, classes), np.int64)
        scan_ids = self._labelled_scans(split)
        for scan_id in progress_bar(
            scan_ids, desc=f"evaluating {split}, {tta} passes", unit="scan", leave=False
        ):
            scan = self.pairs.read(scan_id)
            labels = labels_or_ignore(scan.labels, len(scan.points))
            found = model.predict(scan.points, scan.features, tta=tta)
            matrices += confusions_of(labels, found.labels, in_camera(scan), classes)
            error.add(found.confidence, found.labels, labels)
        return self._metrics(
            matrices, split, passes=tta, temperature=model.card.temperature, ece_calibrated=error.value
        )

    def _labelled_scans(self, split: str) -> tuple[str, ...]:
        """The scans of `split` that have labels. Raises DataError if there is none."""
        scan_ids = self.pairs.labelled_scans(split)
        if not scan_ids:
            raise DataError(f"no scan of the split {split} has labels; it cannot be evaluated")
        self._require_classes(split, scan_ids)
        return scan_ids

    def require_classes(self) -> None:
        """Raises DataError if every label is ignored: of the labelled scans, or of a split to evaluate."""
        self._require_classes("train", self.split.labelled)
        for split in self.splits:
            self._require_classes(split, self.pairs.labelled_scans(split))

    def _require_classes(self, split: str, scan_ids: Sequence[str]) -> None:
        if not self.pairs.has_classes(scan_ids):
            leave_out = "" if split == "train" else ", or take the split out of `splits`"
            scans = counted(len(scan_ids), "labelled scan")
            raise DataError(
                f"no point of {scans} of the split {split} has a class: every "
                f'label is ignored; check the label files{leave_out}, then run "make pairs"'
            )

    def fitted_temperature(self) -> float | None:
        """The temperature of the confidences, None if the validation split was not evaluated."""
        path = self.folder.metrics("val")
        return Metrics.load(path).temperature if path.is_file() else None

    def _metrics(self, matrices: np.ndarray, split: str, **more: Any) -> Metrics:
        return Metrics(
            run_digest=self.saved.digest,
            split=split,
            class_names=self.pairs.header.class_names,
            scans=len(self.pairs.labelled_scans(split)),
            split_scans=len(self.pairs.splits[split]),
            protocol=self.split.protocol,
            ratio=self.config.ratio,
            seed=self.config.seed,
            labelled_scans=len(self.split.labelled),
            training_scans=len(self.split.labelled) + len(self.split.unlabelled),
            steps=self.config.schedule.steps,
            **both_figures(matrices, self.absent),
            **more,
        )

    def confusions(
        self,
        predictor: nn.Module,
        scan_ids: Sequence[str],
        title: str | None = None,
        sample: LogitSample | None = None,
        stopping: Stopping | None = None,
    ) -> np.ndarray:
        """The confusion matrices (2,C,C) over all points of these scans, and over those in camera.

        Processes that train together share the scans. title: of a progress bar; None for no bar.
        sample: takes points of the scans of this process.
        stopping: asked after each batch; if it was asked to end, the matrices lack the others.
        """
        own = scan_ids[parallel.rank() :: parallel.world_size()]
        scans, workers = self.whole_scans_of(own), self.config.data.workers
        batches: Iterable[EvaluationBatch] = evaluation_batches(scans, self.device, workers)
        if title is not None and parallel.rank() == 0:
            batches = batches_with_progress(batches, len(own), title)
        if stopping is not None:
            batches = stopping.until(batches)
        matrices = confusions(predictor, batches, self.pairs.num_classes, self.device, sample)
        return parallel.all_reduce_sum(torch.from_numpy(matrices).to(self.device)).cpu().numpy()


def _require_fit(folder: RunFolder, what: str, trained: Sequence[str], here: Sequence[str]) -> None:
    if tuple(trained) != tuple(here):
        raise StaleArtifact(
            f"{folder.path} was trained with the {what} {', '.join(trained)}; these pairs have "
            f"{', '.join(here)}; choose the data set with DATASET (--dataset)"
        )

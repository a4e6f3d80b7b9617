"""Find the points of a scan that are similar to a text. The trained network sees points alone.

Letters: N points of a scan, T texts, D text dimension.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from lass3d_core.errors import MissingArtifact, UnknownName
from lass3d_core.files.query_texts import query_rows
from lass3d_core.model.predict import Prediction
from lass3d_core.nets.segmenter import Segmenter
from lass3d_core.records import PairedScan
from lass3d_core.settings import nearest
from train.data.evaluation_scans import EvaluationScan
from train.evaluate import confident_of_points
from train.methods.parts.query import QueryHead
from train.runs.run import Run

UNLIKE, LIKE = (184, 190, 197), (200, 50, 20)
"""Colours of the median similarity of a scan, and of its highest."""


@dataclass(frozen=True)
class QueryNetwork:
    """The part of a trained run that answers queries: the text-free network, and the head on its features."""

    segmenter: Segmenter
    head: QueryHead
    device: torch.device
    temperature: float = 1.0  # of the confidences

    @classmethod
    def of(cls, run: Run) -> QueryNetwork:
        """Load it from a run. Raises MissingArtifact if it is not trained, has no query head or no text."""
        method = run.trained_method()
        head, segmenter = getattr(method, "query_head", None), method.predictor
        if not isinstance(head, QueryHead) or not isinstance(segmenter, Segmenter):
            raise MissingArtifact(
                f"{run.folder.path} was trained without a head for queries; train METHOD=lass3d_plus with "
                "SET=method.query.weight=1"
            )
        if not run.pairs.scans_with_text:
            raise MissingArtifact(
                f"no training scan of {run.config.dataset} has text, so {run.folder.path} learnt none and "
                "answers no query; get images, and train again"
            )
        return cls(segmenter.eval(), head.eval(), run.device, run.fitted_temperature() or 1.0)

    @torch.inference_mode()
    def answer(self, scan: EvaluationScan, rows: np.ndarray) -> tuple[np.ndarray, Prediction]:
        """Compare every point of `scan` with text rows (T,D); one forward pass also gives its classes.

        Returns, in raw point order: cosine similarities (N,T) float32, train ids with their confidences.
        """
        features = self.segmenter.embed(scan.features.to(self.device), scan.pyramid.to(self.device))
        texts = F.normalize(torch.from_numpy(rows).to(self.device), dim=1)
        similarity = (self.head(features) @ texts.T).cpu()[scan.inverse]
        logits = self.segmenter.classifier(features)
        return similarity.numpy(), confident_of_points(logits, scan, self.temperature)


@dataclass(frozen=True)
class Answer:
    """A query's answer in one scan."""

    text: str
    scan: PairedScan
    similarity: np.ndarray  # (N,) float32 in [-1,1]
    prediction: Prediction

    @property
    def median(self) -> float:
        return float(np.median(self.similarity))

    @property
    def highest(self) -> float:
        return float(self.similarity.max())

    @property
    def likeness(self) -> np.ndarray:
        """The similarity (N,) as uint8: 0 up to the scan's median, 255 at its highest.

        Decision: the scale is relative to the scan. The height of a cosine depends on the text and the
        encoder, so no threshold separates what was asked for from the rest. Most of a scan is not what was
        asked for, so half of its points show nothing.
        """
        span = max(self.highest - self.median, 1e-6)
        return np.rint(255 * ((self.similarity - self.median) / span).clip(0, 1)).astype(np.uint8)


def answer_query(run: Run, text: str, scan_id: str) -> Answer:
    """Compare `text` with one scan. Raises UnknownName (no such scan), MissingArtifact."""
    known = [known_id for scan_ids in run.pairs.splits.values() for known_id in scan_ids]
    if scan_id not in known:
        raise UnknownName(f"--scan: there is no scan {scan_id!r}{nearest(scan_id, known)}")
    network, rows = QueryNetwork.of(run), query_rows(run.pairs.folder, [text])
    similarity, prediction = network.answer(run.whole_scan(scan_id), rows)
    return Answer(text, run.pairs.read(scan_id), similarity[:, 0], prediction)


def colours(likeness: np.ndarray) -> np.ndarray:
    """Blend from UNLIKE at 0 to LIKE at 255: likeness (N,) uint8 to colours (N,3) uint8."""
    share = likeness[:, None] / 255
    return np.rint((1 - share) * np.array(UNLIKE) + share * np.array(LIKE)).astype(np.uint8)

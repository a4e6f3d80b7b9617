"""The figures of one run on one split, as the tables show and record them."""

from __future__ import annotations

from dataclasses import dataclass

from lass3d_core.files.json_files import read_json
from lass3d_core.labels import AbsentClasses
from train.evaluate import Metrics
from train.runs.logs import column_mean, read_log
from train.runs.run import Run


@dataclass(frozen=True)
class CameraShares:
    """What a run reached on the points that an image of their scan shows, in percent."""

    official: float | None
    miou: float | None
    accuracy: float | None


@dataclass(frozen=True)
class RunFigures:
    """What a run reached on a split, and what it cost. Shares are in percent, None if they are not defined.

    Decision: numbers have six digits, which are those of a recorded line. So a table made from records is the
    table made from the runs, byte for byte.
    """

    digest: str  # of the run, 64 hex digits
    split: str
    official: float | None  # mIoU by the rule of the data set's official evaluator
    miou: float | None  # mIoU over the classes that occur in truth or prediction
    accuracy: float | None  # share of the points that are right
    absent: AbsentClasses  # the official rule
    iou: tuple[tuple[str, float | None], ...]  # of each class; None if no point has it in truth or prediction
    scans: int  # of the split, those with labels
    split_scans: int | None  # all of them; None if nobody recorded it
    steps: int
    passes: float | None  # forward passes through any backbone, per micro-batch; a mean over the steps
    updates: float | None  # of the optimiser, per step
    seconds: float | None  # per step
    version: str = ""  # of this package, when the run was trained
    revision: str = ""  # of its code
    camera: CameraShares | None = None  # None if there are no such points, or nobody recorded them

    @classmethod
    def read(cls, run: Run) -> tuple[RunFigures, ...]:
        """The figures of a finished run on each of its splits. Raises MissingArtifact, CorruptArtifact."""
        log = read_log(run.folder.path / "log.csv")
        passes, updates, seconds = (column_mean(log, one) for one in ("passes", "updates", "seconds"))
        version, revision = _code_of(run)
        return tuple(
            cls.of(run.evaluated(split), passes, updates, seconds, version, revision) for split in run.splits
        )

    @classmethod
    def of(
        cls,
        metrics: Metrics,
        passes: float | None = None,
        updates: float | None = None,
        seconds: float | None = None,
        version: str = "",
        revision: str = "",
    ) -> RunFigures:
        """The figures in `metrics`, and the mean costs of the run."""
        return cls(
            metrics.run_digest,
            metrics.split,
            _percent(metrics.miou_official),
            _percent(metrics.miou_absent_dropped),
            _percent(metrics.accuracy),
            metrics.absent,
            tuple(zip(metrics.class_names, map(_percent, metrics.iou))),
            metrics.scans,
            metrics.split_scans,
            metrics.steps,
            _rounded(passes),
            _rounded(updates),
            _rounded(seconds),
            version,
            revision,
            _in_camera(metrics),
        )


def _in_camera(metrics: Metrics) -> CameraShares | None:
    seen = metrics.in_camera
    if seen is None:
        return None
    return CameraShares(
        _percent(seen.miou_official), _percent(seen.miou_absent_dropped), _percent(seen.accuracy)
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else _rounded(100 * share)


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _code_of(run: Run) -> tuple[str, str]:
    """Version and revision of the code that trained the run; empty if its environment does not say."""
    try:
        environment = read_json(run.folder.environment)
        return str(environment["packages"]["lass3d"] or ""), str(environment["revision"] or "")
    except (OSError, ValueError, KeyError, TypeError):
        return "", ""

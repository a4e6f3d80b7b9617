"""A run's folder: the paths of its files, whether it is finished, and its lock.

runs/<dataset>/<method>-<preset>-r<ratio>-s<seed>[-tag]/
  config.json  split.json  environment.json  log.csv  events/  checkpoints/  metrics-{val,test}.json  lock
  model.safetensors  trackers.json
  export-SPLIT/  clouds-SPLIT/  queries/  retrieval-SPLIT.json  suggest/
  view-SPLIT-SEQUENCE.rrd
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lass3d_core.errors import CorruptArtifact, Lass3dError, ManifestError, MissingArtifact, StaleArtifact
from lass3d_core.files.atomic import remove_parts
from lass3d_core.files.fingerprint import reasons
from lass3d_core.files.lock import only_one
from train.config import RunConfig, SavedRun
from train.evaluate import Metrics
from train.runs.checkpoint import checkpoints, drop_old, steps_of


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run."""

    path: Path

    @classmethod
    def of(cls, runs: Path, config: RunConfig, tag: str | None) -> RunFolder:
        """The folder of `config` below `runs`. Raises ManifestError if `tag` is no valid folder name."""
        if tag is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", tag):
            raise ManifestError(
                f"--tag {tag!r}: up to 100 letters and digits, and after the first also '.', '_' and '-'"
            )
        return cls(runs / config.dataset / (f"{config.name}-{tag}" if tag else config.name))

    @property
    def config(self) -> Path:
        """Settings, and the digests of the data that the run was made from."""
        return self.path / "config.json"

    @property
    def split(self) -> Path:
        """The labelled and the unlabelled scans."""
        return self.path / "split.json"

    @property
    def environment(self) -> Path:
        """Versions, device, command line."""
        return self.path / "environment.json"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints, of which the latest is read."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The finished model: weights and all that is needed to use them."""
        return self.path / "model.safetensors"

    def metrics(self, split: str, passes: int = 1) -> Path:
        """The metrics that `make eval` writes for a split. passes: of test-time augmentation."""
        return self.path / (f"metrics-{split}.json" if passes == 1 else f"metrics-{split}-tta{passes}.json")

    def export(self, split: str, passes: int = 1) -> Path:
        """The default folder of `make export`. passes: of test-time augmentation."""
        return self.path / (f"export-{split}" if passes == 1 else f"export-{split}-tta{passes}")

    def clouds(self, split: str) -> Path:
        """The default folder of `make clouds`."""
        return self.path / f"clouds-{split}"

    @property
    def queries(self) -> Path:
        """The default folder of `make query`."""
        return self.path / "queries"

    @property
    def suggest(self) -> Path:
        """The default folder of `make suggest`."""
        return self.path / "suggest"

    def retrieval(self, split: str) -> Path:
        """The retrieval score that `make query SCORE=1` writes for a split."""
        return self.path / f"retrieval-{split}.json"

    def is_finished(self, saved: SavedRun, splits: Sequence[str]) -> bool:
        """Whether the run that `saved` describes has metrics for all of `splits`; without any, a model."""
        if not splits:
            return self.model.is_file()
        try:
            return all(Metrics.load(self.metrics(split)).run_digest == saved.digest for split in splits)
        except (MissingArtifact, CorruptArtifact):
            return False

    def require_same(self, wanted: SavedRun) -> None:
        """Raise StaleArtifact if the run in this folder differs from `wanted`; the message says in what."""
        found = SavedRun.load(self.config)
        if found.digest != wanted.digest:
            why = "; ".join(reasons(found.record, wanted.record))
            raise StaleArtifact(
                f"{self.path} holds another run ({why}); give this one another TAG=NAME (--tag NAME)"
            )

    def require_leave_to_go_on(self, steps: int, resume: bool) -> None:
        """Raise Lass3dError if this folder holds an unfinished run and `resume` is false."""
        if checkpoints(self.checkpoints) and not resume:
            raise Lass3dError(f"{self.path} is unfinished; {self._how_to_go_on(steps)}")

    def require_trained(self, steps: int) -> None:
        """Raise MissingArtifact if the run has taken fewer than `steps` steps."""
        if self._steps_done < steps and not self.model.is_file():
            raise MissingArtifact(f"{self.path} is not trained to its end; {self._how_to_go_on(steps)}")

    @property
    def _steps_done(self) -> int:
        found = checkpoints(self.checkpoints)
        return steps_of(found[-1]) if found else 0

    def _how_to_go_on(self, steps: int) -> str:
        return (
            f"{self._steps_done} of {steps} steps are done: `make train` with RESUME=1 (--resume) goes on, "
            "TAG=NAME (--tag) starts another"
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training in this folder, and delete what killed runs left half-written.

        Raises Lass3dError if another process trains here, StorageError.
        """
        with only_one(self.path, "lock", "wait for it, or give --tag NAME"):
            for folder in (self.path, self.checkpoints):
                remove_parts(folder)
            drop_old(self.checkpoints)
            yield

"""Weights & Biases. Without a key, or without its server, the run is kept in RUN/wandb until `wandb sync`."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import wandb
from requests.utils import get_netrc_auth

from train.trackers.contract import Ending, TrackedRun

_EXIT_CODES: dict[Ending, int] = {"finished": 0, "interrupted": 255, "failed": 1}

_WAIT_S = 30.0  # for the server at the start
_FINISH_S = 120.0  # for the last uploads; what is left stays in the folder


class WeightsAndBiases:
    """A run of wandb."""

    def __init__(self, run: TrackedRun, offline: bool) -> None:
        identity = run.id_in("wandb") or uuid.uuid4().hex[:8]
        # Console, code and machine are not recorded: what it takes is what `log` gives.
        settings = wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            save_code=False,
            x_disable_stats=True,
            init_timeout=_WAIT_S,
            finish_timeout=_FINISH_S,
        )
        self._run = wandb.init(
            project=run.project,
            name=run.name,
            id=identity,
            resume="allow",
            dir=run.folder,
            config=dict(run.settings),
            mode="offline" if offline else None,
            settings=settings,
        )
        # An axis of our own: a resumed run takes some steps again, and wandb drops figures of steps it has.
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")
        run.remember("wandb", identity)
        folder = Path(self._run.dir).parent
        self.where = f"kept offline; wandb sync {folder}" if self._run.offline else str(self._run.url)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """See Tracker."""
        self._run.log({"step": step, **figures})

    def picture(self, step: int, name: str, image: np.ndarray) -> None:
        """See Tracker."""
        self._run.log({"step": step, name: wandb.Image(image)})

    def finish(self, ending: Ending) -> None:
        """See Tracker."""
        self._run.finish(exit_code=_EXIT_CODES[ending])


def start(run: TrackedRun) -> WeightsAndBiases:
    """Begin the run, or go on with it. Offline if there is no key or no server; WANDB_MODE decides else."""
    if os.environ.get("WANDB_MODE"):
        return WeightsAndBiases(run, offline=False)
    if not _has_key():  # wandb would ask for one, and nobody may be there to answer
        return WeightsAndBiases(run, offline=True)
    try:
        return WeightsAndBiases(run, offline=False)
    except wandb.errors.CommError:
        wandb.teardown()  # else the id counts as in use
        return WeightsAndBiases(run, offline=True)


def _has_key() -> bool:
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    given = any(os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"))
    return given or get_netrc_auth(host) is not None

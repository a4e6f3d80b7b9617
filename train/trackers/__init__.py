"""Where the figures of a run go besides its folder: TensorBoard, Weights & Biases, Trackio, MLflow."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from lass3d_core.errors import BackendUnavailable

PACKAGES = {"wandb": "wandb", "trackio": "trackio", "mlflow": "mlflow-skinny"}
"""A tracker, which is the name of its module here and of the module it needs -> the package to install."""


def require_packages(names: Iterable[str]) -> None:
    """Raise BackendUnavailable unless the packages of these trackers are installed."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        packages = " ".join(dict.fromkeys(PACKAGES[name] for name in missing))
        raise BackendUnavailable(
            f"--log {missing[0]} (make: LOG={missing[0]}) needs a package: pip install {packages}"
        )

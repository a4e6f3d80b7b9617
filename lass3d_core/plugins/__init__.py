"""Methods, readers and models that other installed packages bring, by entry points.

A package names them in its pyproject.toml, docs/write-your-own.md has an example of each:

    [project.entry-points."lass3d.methods"]
    soft_labels = "own_method:METHOD"            # (class of the settings, class of the method)
    [project.entry-points."lass3d.readers"]
    csv_scans = "own_reader"                     # a module with DATASET and SUBMISSION
    [project.entry-points."lass3d.image_captions"]
    horizon = "own_captioner:MODEL"              # (class of the parameters, class of the model)

The stages `lass3d.entities` and `lass3d.text_embeddings` are as `lass3d.image_captions`.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from lass3d_core.errors import BackendUnavailable


@cache
def names(group: str) -> tuple[str, ...]:
    """The names that packages bring to `group` ("methods", "readers", or a stage). None of them is loaded."""
    return tuple(_brought(group))


@cache
def load(group: str, name: str) -> Any:
    """The object that a package brings under `name`. Raises BackendUnavailable if it cannot be imported."""
    entry = _brought(group)[name]
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise BackendUnavailable(
            f"{name} of the entry points lass3d.{group} cannot be loaded from {entry.value} ({error}); "
            "mend that package, or uninstall it"
        ) from error


def _brought(group: str) -> dict[str, EntryPoint]:
    return {one.name: one for one in entry_points(group=f"lass3d.{group}")}

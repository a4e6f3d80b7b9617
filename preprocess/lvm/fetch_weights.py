"""`make weights`: fetch the weights that the manifest names, from the hub or from a copy of a cache."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from lass3d_core.errors import BackendUnavailable
from lass3d_core.files.atomic import storage_errors
from lass3d_core.manifest.schema import LvmSpec, LvmStage, Manifest
from preprocess.lvm import params_of
from preprocess.lvm.load_errors import loading
from preprocess.lvm.weights import HubName, download, found_locally, hub_name


@dataclass(frozen=True)
class Wanted:
    """Weights that a model needs. key: of the manifest, where they can be named.

    revision: None for a model whose weights are on no hub.
    """

    key: str
    model: str
    weights: str
    revision: str | None

    @property
    def hub(self) -> HubName | None:
        """The name on the hub; None for a path."""
        return hub_name(self.weights, self.revision)

    def found(self) -> Path | None:
        """The path on this machine; None if they are not here."""
        return found_locally(self.weights, self.revision)


def models_of(manifest: Manifest) -> dict[LvmStage, LvmSpec]:
    """Stage -> the model that serves it."""
    return {stage: getattr(manifest, stage) for stage in get_args(LvmStage)}


def wanted_weights(manifest: Manifest) -> list[Wanted]:
    """All weights of the manifest's models, in the order of the stages."""
    return [
        Wanted(key, spec.name, weights, revision)
        for stage, spec in models_of(manifest).items()
        for key, weights, revision in _weights_in(params_of(stage, spec), f"{stage}.params")
    ]


def fetch_weights(manifest: Manifest, mirror: Path | None, into: Path | None) -> str:
    """Fetch all weights of the manifest's models. Returns a line for each.

    mirror: a folder in the layout of the hub's cache; if given, weights are copied from it, not downloaded.
    into: a folder that gets plain files under the names on the hub, for a machine without a network.
    Raises BackendUnavailable for weights that cannot be fetched, StorageError.
    """
    wanted = wanted_weights(manifest)
    lines = [f"{one.model}: {one.weights}: {_fetched(one, mirror, into)}" for one in wanted]
    return "\n".join(lines or ["the manifest names no model that has weights"])


def _fetched(one: Wanted, mirror: Path | None, into: Path | None) -> str:
    found = one.found() or _brought(one, mirror)
    if into is None or one.hub is None:
        return str(found)
    target = into / one.weights
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            shutil.copytree(found, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(found, target)
    return f"copied to {target}, to be named in {one.key}.weights"


def _brought(one: Wanted, mirror: Path | None) -> Path:
    """Download the weights, or copy them from the mirror into the hub's cache. Raises BackendUnavailable."""
    if one.hub is None:
        raise BackendUnavailable(f"{one.key}.weights: {one.weights} does not exist; mend it in the manifest")
    if mirror is None:
        return download(one.hub, one.model)
    with loading(one.model, one.weights):
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        name = repo_folder_name(repo_id=one.hub.repository, repo_type="model")
        target = Path(constants.HF_HUB_CACHE) / name
        if not (mirror / name).is_dir():
            remedy = "point MIRROR at a copy of a hub cache (~/.cache/huggingface/hub)"
            raise BackendUnavailable(f"{mirror} has no folder {name}; {remedy}")
        with storage_errors(target):
            shutil.copytree(mirror / name, target, symlinks=True, dirs_exist_ok=True)
    if (found := one.found()) is None:
        raise BackendUnavailable(f"{mirror} holds {one.weights} in part only; complete it and try again")
    return found


def _weights_in(params: Any, key: str) -> Iterator[tuple[str, str, str | None]]:
    """(key, weights, revision) of `params`, and of the dataclasses below it, that name weights."""
    if hasattr(params, "weights"):
        yield key, params.weights, getattr(params, "revision", None)
    for field in dataclasses.fields(params):
        value = getattr(params, field.name)
        if dataclasses.is_dataclass(value):
            yield from _weights_in(value, f"{key}.{field.name}")

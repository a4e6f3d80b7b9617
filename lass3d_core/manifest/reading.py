"""Reads `data_manifest.yaml`.

Reports every unknown or missing key, wrong type and missing folder together, each by its path in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from lass3d_core.errors import DataError, ManifestError
from lass3d_core.files.text_lines import text_of
from lass3d_core.manifest.schema import (
    DatasetSpec,
    EntitiesSpec,
    FolderName,
    LvmSpec,
    LvmStage,
    Manifest,
    VoteSpec,
    absolute,
)
from lass3d_core.plain_yaml import load_yaml
from lass3d_core.settings import WrongSettings, nearest, read

# Appends to the list what is wrong with an LvmSpec found at a path; preprocess.lvm has one.
LvmCheck = Callable[[LvmStage, LvmSpec, str, list[str]], None]

WITH_POSES = ("semantickitti", "plain")
"""The readers that know poses of scans, which `pairs.earlier_scans` and `pairs.vote` need."""


@dataclass(frozen=True)
class _DatasetsAlone:
    datasets: Mapping[FolderName, DatasetSpec]


def read_manifest(
    path: Path, dataset: str | None = None, check_lvm: LvmCheck | None = None
) -> tuple[Manifest, str]:
    """Read the manifest at `path` and choose a data set: `dataset`, or the manifest's default.

    Returns the manifest and the data set's name. Checks what the chosen data set needs, in the file and on
    disk. Raises ManifestError with every problem on one line.
    Decision: a data set that is wrong does not stop work on another one. It is left out of the manifest, and
    its errors are told when it is chosen.
    """
    values = _load(path)
    folder = path.resolve().parent
    problems: list[str] = []
    known = _mapping_at(values, "datasets")
    default = _mapping_at(values).get("default")  # another type than a text is reported below
    chosen = dataset or (default if isinstance(default, str) else "")
    if chosen in known:
        values = {**values, "datasets": _chosen_and_right(known, chosen, folder)}
    try:
        manifest = read(Manifest, values, context={"folder": folder})
        _check_poses(manifest, chosen, problems)
    except WrongSettings as error:
        problems += error.problems
    if chosen and chosen not in known and (known or not problems):
        names = ", ".join(map(str, known)) or "none"
        problems.append(f"datasets: there is no data set {chosen!r} (known: {names}){nearest(chosen, known)}")
    own = _mapping_at(values, "datasets", chosen)
    _check_files(own, folder, f"datasets.{chosen}", problems)
    if check_lvm is not None:
        _check_lvms(values, "", check_lvm, problems)
        _check_lvms(own, f"datasets.{chosen}.", check_lvm, problems)
    if problems:
        count = f"{len(problems)} problems: " if len(problems) > 1 else ""
        raise ManifestError(f"{path}: {count}{' | '.join(problems)}")
    return _with_own_blocks(manifest, chosen), chosen


def _load(path: Path) -> Any:
    try:
        values = load_yaml(text_of(path, "give MANIFEST=path (--manifest) or run from the project's folder"))
    except DataError as error:
        raise ManifestError(str(error)) from None
    except ValueError as error:
        raise ManifestError(f"{path} is {error}") from None
    if values is None:
        raise ManifestError(f"{path} is empty; docs/formats.md says what belongs into it")
    return values


def _with_own_blocks(manifest: Manifest, dataset: str) -> Manifest:
    """The manifest, the common blocks replaced by those that the data set has."""
    spec = manifest.datasets[dataset]
    own = {name: getattr(spec, name) for name in ("image_captions", "entities", "text_embeddings", "pairs")}
    return replace(manifest, **{name: block for name, block in own.items() if block is not None})


def _chosen_and_right(datasets: Mapping[Any, Any], chosen: str, folder: Path) -> dict[Any, Any]:
    """The chosen data set, and those of the others that have nothing wrong."""
    kept = {}
    for name, block in datasets.items():
        try:
            read(_DatasetsAlone, {"datasets": {name: block}}, context={"folder": folder})
        except WrongSettings:
            if name != chosen:
                continue
        kept[name] = block
    return kept


def _check_poses(manifest: Manifest, chosen: str, problems: list[str]) -> None:
    """Report other scans in `pairs` for a chosen data set whose reader knows no poses."""
    spec = manifest.datasets.get(chosen)
    if spec is None or spec.reader in WITH_POSES:
        return
    pairs = spec.pairs or manifest.pairs
    vote = pairs.vote or VoteSpec()
    asked = {"earlier_scans": pairs.earlier_scans, "vote.earlier": vote.earlier, "vote.later": vote.later}
    for key in (key for key, scans in asked.items() if scans):
        problems.append(
            f"pairs.{key}: the reader {spec.reader} of {chosen} knows no poses of scans; "
            f"give datasets.{chosen} its own block `pairs` without it"
        )


# The checks below look at the raw values: a wrong key elsewhere must not hide what they find.


def _check_files(dataset: Mapping[Any, Any], folder: Path, path: str, problems: list[str]) -> None:
    """Report the folder and the lists of the chosen data set that do not exist."""
    root = "" if dataset.get("simulate") is not None else dataset.get("root")
    if root and isinstance(root, str) and not absolute(folder, root).is_dir():
        problems.append(f"{path}.root: the folder {root} does not exist; point it at the data set")
    for ratio, file in _mapping_at(dataset, "labelled", "lists").items():
        if isinstance(file, str) and not absolute(folder, file).is_file():
            problems.append(f"{path}.labelled.lists.{ratio}: the file {file} does not exist")


def _check_lvms(values: Any, path: str, check_lvm: LvmCheck, problems: list[str]) -> None:
    """Check each language-vision model whose block has the right form; `read` has reported the others."""
    for stage in get_args(LvmStage):
        try:
            spec = read(EntitiesSpec if stage == "entities" else LvmSpec, _mapping_at(values, stage))
        except WrongSettings:
            continue
        check_lvm(stage, spec, path + stage, problems)


def _mapping_at(values: Any, *keys: str) -> Mapping[Any, Any]:
    """The mapping below `keys`; empty if there is none, since the file may be wrong in every way."""
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values if isinstance(values, Mapping) else {}

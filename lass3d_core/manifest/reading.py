"""Reads `data_manifest.yaml`.

Every unknown or missing key, wrong type and missing folder is reported together, each by its path in the
file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from lass3d_core.errors import ManifestError
from lass3d_core.files.names import is_plain
from lass3d_core.manifest.plain_yaml import load_yaml
from lass3d_core.manifest.schema import EntitiesSpec, LvmSpec, LvmStage, Manifest, SplitSpec
from lass3d_core.typed import build, nearest

LvmCheck = Callable[[LvmStage, LvmSpec, str, list[str]], None]
"""Appends to the list what is wrong with an LvmSpec found at a path; preprocess.lvm has one."""


def read_manifest(
    path: Path, dataset: str | None = None, check_lvm: LvmCheck | None = None
) -> tuple[Manifest, str]:
    """The manifest at `path` and the name of the chosen data set (`dataset`, or the manifest's default).

    Checks the whole file, and on disk only what the chosen data set needs. Raises ManifestError with every
    problem on one line.
    """
    values = _load_yaml(path)
    problems: list[str] = []
    manifest = build(Manifest, values, "", problems)
    named = _mapping_at(values, "datasets")
    chosen = dataset or str(_mapping_at(values).get("default"))
    problems += [f"datasets: {name!r} is no name of a folder" for name in named if not is_plain(str(name))]
    if chosen not in named and (named or not problems):
        known = ", ".join(map(str, named)) or "none"
        problems.append(f"datasets: there is no data set {chosen!r} (known: {known}){nearest(chosen, named)}")
    base = path.resolve().parent
    _check_folders(_mapping_at(values, "datasets", chosen), base, f"datasets.{chosen}", problems)
    if check_lvm is not None:
        _check_lvms(values, "", check_lvm, problems)
        _check_lvms(_mapping_at(values, "datasets", chosen), f"datasets.{chosen}.", check_lvm, problems)
    if problems or manifest is None:
        count = f"{len(problems)} problems: " if len(problems) > 1 else ""
        raise ManifestError(f"{path}: {count}{' | '.join(problems)}")
    return _of_dataset(_resolve(manifest, base), chosen), chosen


def _load_yaml(path: Path) -> Any:
    try:
        return load_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ManifestError(
            f"{path} does not exist; give MANIFEST=path or run from the project's folder"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} cannot be read: {error}") from None
    except ValueError as error:
        raise ManifestError(f"{path} is {error}") from None


def _of_dataset(manifest: Manifest, name: str) -> Manifest:
    """The manifest with the blocks that data set `name` has of its own in place of the common ones."""
    spec = manifest.datasets[name]
    return replace(
        manifest,
        image_captions=spec.image_captions or manifest.image_captions,
        entities=spec.entities or manifest.entities,
        text_embeddings=spec.text_embeddings or manifest.text_embeddings,
        pairs=spec.pairs or manifest.pairs,
    )


def _resolve(manifest: Manifest, base: Path) -> Manifest:
    """The same manifest with every path absolute."""
    datasets = {
        name: replace(
            spec,
            root=_absolute(base, spec.root),
            splits=_resolve_splits(base, spec.splits),
            labelled=replace(
                spec.labelled, lists={r: _absolute(base, p) for r, p in spec.labelled.lists.items()}
            ),
        )
        for name, spec in manifest.datasets.items()
    }
    artifacts, runs = _absolute(base, manifest.artifacts), _absolute(base, manifest.runs)
    return replace(manifest, datasets=datasets, artifacts=artifacts, runs=runs)


def _resolve_splits(base: Path, splits: SplitSpec) -> SplitSpec:
    def resolved(entries: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(_absolute(base, one)) if one.endswith(".txt") else one for one in entries)

    return replace(splits, train=resolved(splits.train), val=resolved(splits.val), test=resolved(splits.test))


def _check_folders(dataset: Mapping[Any, Any], base: Path, path: str, problems: list[str]) -> None:
    """Report what the chosen data set names and is not there; raw values, so that no wrong key hides it."""
    root = dataset.get("root")
    if isinstance(root, str) and dataset.get("simulate") is None and not _absolute(base, root).is_dir():
        problems.append(f"{path}.root: the folder {root} does not exist; point it at the data set")
    for ratio, file in _mapping_at(dataset, "labelled", "lists").items():
        if isinstance(file, str) and not _absolute(base, file).is_file():
            problems.append(f"{path}.labelled.lists.{ratio}: the file {file} does not exist")


def _check_lvms(values: Any, path: str, check_lvm: LvmCheck, problems: list[str]) -> None:
    """Check each language-vision model whose block has the right form; `build` has reported the others."""
    for stage in get_args(LvmStage):
        spec = build(EntitiesSpec if stage == "entities" else LvmSpec, _mapping_at(values, stage), stage, [])
        if spec is not None:
            check_lvm(stage, spec, path + stage, problems)


def _mapping_at(values: Any, *keys: str) -> Mapping[Any, Any]:
    """The mapping below `keys`, empty where there is none: the file may be wrong in every way."""
    for key in keys:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values if isinstance(values, Mapping) else {}


def _absolute(base: Path, path: str | Path) -> Path:
    return base / os.path.expanduser(path)  # noqa: PTH111 - lets an unknown ~user pass

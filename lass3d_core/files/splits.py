"""Choice of the labelled training scans at RATIO %: nested random choices, or a published list."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import numpy as np

from lass3d_core.errors import CorruptArtifact, DataError, MissingArtifact
from lass3d_core.files.json_files import read_json, write_json
from lass3d_core.files.text_lines import text_lines
from lass3d_core.manifest.schema import LabelledSpec
from lass3d_core.settings import read, to_json

Item = TypeVar("Item")


@dataclass(frozen=True)
class LabelledSplit:
    """The labelled and the unlabelled training scans of a run, each in ascending order; saved with the run.

    protocol: its name in every result. ratio: percent. seed: used only by the protocol `nested`.
    """

    protocol: str
    ratio: float
    seed: int
    labelled: tuple[str, ...]
    unlabelled: tuple[str, ...]

    def save(self, path: Path) -> None:
        """Write the split as JSON by an atomic rename. Raises StorageError."""
        write_json(path, to_json(self))

    @classmethod
    def load(cls, path: Path) -> LabelledSplit:
        """Read the file that `save` wrote. Raises MissingArtifact, CorruptArtifact."""
        try:
            return read(cls, read_json(path))
        except FileNotFoundError:
            raise MissingArtifact(f'{path} is missing; run "make train"') from None
        except (OSError, ValueError) as error:
            raise CorruptArtifact(f"{path} is not a split file: {error}; train again") from None


def labelled_split(
    spec: LabelledSpec, scan_ids: Sequence[str], ratio: float, seed: int, without_labels: Collection[str] = ()
) -> LabelledSplit:
    """Choose `ratio` percent of the training scans `scan_ids` by the protocol of `spec`.

    without_labels: scans that have no label file, so they cannot be chosen.
    Raises DataError if the ratio is outside (0, 100] or labels no scan, or if a list is wrong.
    """
    if not 0 < ratio <= 100:
        raise DataError(f"the ratio is a percentage and must lie in (0, 100], got {ratio:g}")
    match spec.protocol:
        case "lists":
            chosen = read_list(_list_for(spec.lists, ratio), scan_ids, without_labels)
        case "contiguous":
            chosen = contiguous_choice(scan_ids, ratio, spec.order, without_labels)
        case "nested":
            chosen = nested_choice(scan_ids, ratio, seed, without_labels)
    rest = set(scan_ids) - set(chosen)
    name = spec.name or spec.protocol
    return LabelledSplit(name, ratio, seed, tuple(sorted(chosen)), tuple(sorted(rest)))


def nested_choice(
    scan_ids: Collection[str], ratio: float, seed: int, without_labels: Collection[str] = ()
) -> tuple[str, ...]:
    """The first floor(ratio % of all scans) of a seeded shuffle.

    So a smaller ratio chooses a subset of what a larger ratio chooses. 1 % of SemanticKITTI's 19130 training
    scans is 191, as published. Raises DataError.
    """
    candidates = sorted(set(scan_ids) - set(without_labels))
    count = _count(ratio, len(scan_ids), len(candidates))
    # NumPy guarantees the raw stream of PCG64 for all its versions, and does not guarantee permutation's.
    order = np.argsort(np.random.PCG64(seed).random_raw(len(candidates)), kind="stable")
    return tuple(candidates[i] for i in order[:count])


def contiguous_choice(
    scan_ids: Collection[str], ratio: float, order: Sequence[str], without_labels: Collection[str] = ()
) -> tuple[str, ...]:
    """The first floor(ratio % of all scans) of the sequences in `order`, one after the other.

    This is GPC's protocol for SemanticKITTI, with order 09, 07, 05, 10, 02. A scan's sequence is its id up to
    the slash. Raises DataError if `order` names an unknown sequence or its sequences hold too few scans.
    """
    sequences: dict[str, list[str]] = {}
    for scan_id in sorted(set(scan_ids) - set(without_labels)):
        sequences.setdefault(scan_id.split("/")[0], []).append(scan_id)
    unknown = [name for name in order if name not in sequences]
    if unknown:
        raise DataError(f"labelled.order: {', '.join(unknown)} is not a training sequence with labels")
    candidates = [scan_id for name in dict.fromkeys(order) for scan_id in sequences[name]]
    return tuple(candidates[: _count(ratio, len(scan_ids), len(candidates))])


def read_list(path: Path, scan_ids: Collection[str], without_labels: Collection[str] = ()) -> tuple[str, ...]:
    """Read a published list of scan ids, one per line ("00/000123", "scene0087_00"), in the file's order.

    Raises DataError, which names repeated, unknown and unlabelled scans with their lines.
    """
    lines_of: dict[str, list[int]] = {}  # scan id -> the lines that name it
    for line in text_lines(path):
        for scan_id in line.text.split():
            lines_of.setdefault(scan_id, []).append(line.number)
    known, unlabelled = set(scan_ids), set(without_labels)
    problems = [
        _complaint("repeated", {one: lines for one, lines in lines_of.items() if len(lines) > 1}),
        _complaint("not among the training scans", {k: v for k, v in lines_of.items() if k not in known}),
        _complaint("without labels", {k: v for k, v in lines_of.items() if k in unlabelled}),
        "" if lines_of else "it names no scan",
    ]
    if any(problems):
        raise DataError(f"the list {path} is wrong: {'; '.join(filter(None, problems))}")
    return tuple(lines_of)


def _list_for(lists: Mapping[str, Path], ratio: float) -> Path:
    found = {key: path for key, path in lists.items() if _fraction(key) == _fraction(ratio)}
    if len(found) > 1:
        raise DataError(f"labelled.lists: {' and '.join(found)} are the same ratio; delete one of them")
    if found:
        return next(iter(found.values()))
    raise DataError(f"there is no labelled list for {ratio:g} %; the manifest has {', '.join(lists)}")


def _fraction(ratio: float | str) -> Fraction:
    """The exact decimal number: 0.29 is 29/100, so that floor is right."""
    try:
        return Fraction(str(ratio))
    except ValueError:
        raise DataError(f"labelled.lists: {ratio!r} is not a ratio in percent") from None


def _count(ratio: float, scans: int, candidates: int) -> int:
    """floor(ratio % of scans). Raises DataError if that is 0 or more than `candidates`."""
    count = int(_fraction(ratio) * scans / 100)
    if scans == 0:
        raise DataError("there are no training scans to label")
    if count == 0:
        smallest = -(-10000 // scans) / 100  # rounded up to two decimals
        what = f"{ratio:g} % of {scans} training scans labels none"
        raise DataError(f"{what}; the smallest ratio that does is {smallest:g}")
    if count > candidates:
        wanted = f"{ratio:g} % are {count} scan{'' if count == 1 else 's'}"
        if not candidates:
            raise DataError(f"{wanted}, but no training scan has labels")
        have, every = ("1 has", "it") if candidates == 1 else (f"{candidates} have", "all of them")
        fits = f"the ratio {_ratio_for(candidates, scans)} takes {every}"
        raise DataError(f"{wanted}, but only {have} labels; {fits}")
    return count


def _ratio_for(count: int, scans: int) -> str:
    """The ratio in percent that takes exactly `count` of `scans`, with as few decimals as do, from two on."""
    exact = Fraction(100 * count, scans)
    decimals = 2
    while True:
        ratio = Decimal(-(-exact.numerator * 10**decimals // exact.denominator)).scaleb(-decimals)
        if int(Fraction(ratio) * scans / 100) == count:
            return f"{ratio.normalize():f}"
        decimals += 1


def _complaint(what: str, lines_of: Mapping[str, Sequence[int]]) -> str:
    if not lines_of:
        return ""
    shown = [
        f"{name[:100]!r} (line{'s' * (len(lines) > 1)} {' and '.join(map(str, lines[:2]))})"
        for name, lines in list(lines_of.items())[:3]
    ]
    more = f" and {len(lines_of) - 3} more" if len(lines_of) > 3 else ""
    return f"{', '.join(shown)}{more} {'is' if len(lines_of) == 1 else 'are'} {what}"


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of `items`, evenly spread from the first to the last."""
    if not items:
        return []
    chosen = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[index] for index in chosen]

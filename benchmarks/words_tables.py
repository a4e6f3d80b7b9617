"""The tables of benchmarks/words.py, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cost:
    """What a command took for `count` images or scans. seconds: of processor time."""

    count: int
    seconds: float
    peak_mb: float


@dataclass(frozen=True)
class Result:
    """What was measured of a data set and a way.

    audit: the content of audit.json. same: the share on the points of `segmenter` alone; None if unknown.
    captions: None of a way with a vote whose images another way has looked at.
    """

    data: str
    way: str
    audit: Mapping[str, Any]
    same: float | None
    captions: Cost | None
    pairs: Cost | None


def tables(results: Sequence[Result]) -> str:
    """Every table in Markdown, with a line that says what it has."""
    if not results:
        return "nothing was measured"
    parts = [
        "Points with a phrase; of the labelled ones among them, those whose phrase names their class, in %:",
        overall(results),
        "By distance: labelled points with a phrase / of those, whose phrase names their class, in %:",
        by_bin(results, "by_distance", "with_phrase"),
    ]
    for key, what in (("by_margin", "margin of the vote"), ("by_images", "number of images that voted")):
        if voted := [one for one in results if one.audit["words"]["bins"][key]]:
            parts += [f"By {what}: share of the points / of those, whose phrase names their class, in %:"]
            parts += [by_bin(voted, key, "share")]
    for data in dict.fromkeys(one.data for one in results):
        parts += [f"{data}, by class: labelled points with a phrase / of those, rightly named, in %:"]
        parts += [by_class([one for one in results if one.data == data])]
    parts += [
        "Costs on one core, in processor time; images are those of captions and entities:",
        costs(results),
    ]
    return "\n\n".join(parts)


def overall(results: Sequence[Result]) -> str:
    """One row per data set and way."""
    rows = []
    for one in results:
        coverage, words = one.audit["coverage"]["train"], one.audit["words"]
        by_name = words["by_name"] or {"found": None, "by_chance": None}
        shares = (
            coverage["with_entity"] / coverage["points"],
            by_name["found"],
            by_name["by_chance"],
            one.same,
        )
        frames = f"{one.data}, {coverage['scans']} frames"
        rows.append([frames, one.way, *map(percent, shares)])
    head = ["data", "words from", "points with a phrase", "name their class", "by chance"]
    return markdown([*head, "on the points of `segmenter`"], rows)


def by_bin(results: Sequence[Result], key: str, share: str) -> str:
    """One row per data set and way, one column per bin. share: what stands before the truth."""
    bins = [one.audit["words"]["bins"][key] for one in results]
    rows = [
        [one.data, one.way, *(f"{percent(row[share])} / {percent(row['named'])}" for row in found)]
        for one, found in zip(results, bins)
    ]
    return markdown(["data", "words from", *(row["name"] for row in bins[0])], rows)


def by_class(results: Sequence[Result]) -> str:
    """One row per class, one column per way."""
    of_way = {one.way: {row["name"]: row for row in one.audit["words"]["classes"]} for one in results}
    names = {row["name"]: row["points"] for one in results for row in one.audit["words"]["classes"]}
    rows = [
        [name, str(points), *(_class_cell(found.get(name)) for found in of_way.values())]
        for name, points in names.items()
    ]
    return markdown(["class", "labelled points", *of_way], rows)


def _class_cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "-"
    return f"{percent(row['with_phrase'])} / {percent(row['named'] if row['with_phrase'] else None)}"


def costs(results: Sequence[Result]) -> str:
    """One row per data set and way."""
    rows = [[one.data, one.way, *_cost_cells(one.captions), *_cost_cells(one.pairs)] for one in results]
    head = ["images per second", "peak memory, MB", "`pairs`: scans per second", "peak memory, MB"]
    return markdown(["data", "words from", *head], rows)


def _cost_cells(cost: Cost | None) -> tuple[str, str]:
    if cost is None:
        return "-", "-"
    return f"{cost.count / cost.seconds:.2f}", f"{cost.peak_mb:.0f}"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def percent(share: float | None) -> str:
    """A share in percent; - for None."""
    return "-" if share is None else f"{100 * share:.1f}"

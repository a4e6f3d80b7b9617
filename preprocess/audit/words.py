"""Words against labels: how often the phrase of a point names its class, beside what chance reaches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lass3d_core.files.coverage import Agreement, Share
from lass3d_core.files.splits import LabelledSplit
from lass3d_core.settings import to_json
from lass3d_core.words.lexicon import Lexicon
from preprocess.audit import bins
from preprocess.audit.bins import Tables
from preprocess.audit.nearest_class import nearest_classes
from preprocess.project import Project
from preprocess.status import plural

# Decision: words whose gain over chance is below 5 % of what chance leaves are warned of. `palette` cannot
# read photographs: on real drives its words gain about 2 % in meaning, but 11 % in purity, by their place.
_NOTHING = 0.05
# Decision: a class is said to be called by another name if phrases name that class on more than half of its
# points with a phrase, and these are a hundredth of all such points. On real drives `sidewalk` was called
# road on two thirds of its points, and the networks that learnt these words lost it.
_MISNAMED, _OFTEN = 0.5, 0.01
_IN_WORDS, _IN_JSON = 12, 100  # phrases with a row, the most frequent ones
_WIDEST = 24  # characters of a phrase or class name in a table

ClassesOf = Mapping[str, Collection[int]]


@dataclass(frozen=True)
class Part:
    """Some points of a phrase or class, and their share of it. name: of the class, or the phrase."""

    name: str
    points: int
    share: float


@dataclass(frozen=True)
class ClassRow:
    """How well the words fit one class."""

    name: str
    points: int  # labelled points of the class
    with_phrase: float  # share of these points
    named: float  # share of the points with a phrase whose phrase names this class
    nearest: float | None  # the same, by the encoder's nearest class; None if unknown
    phrases: tuple[Part, ...]  # the most frequent ones on the class
    # The class that phrases name most where they do not name this one; None if there is none.
    instead: Part | None = None

    @property
    def points_named(self) -> int:
        """How many points of the class have a phrase."""
        return round(self.points * self.with_phrase)


@dataclass(frozen=True)
class PhraseRow:
    """What a phrase should mean, and what it lies on."""

    phrase: str
    points: int  # labelled ones
    names: tuple[str, ...]  # the classes that it names by words
    nearest: tuple[str, ...]  # the encoder's nearest class, if known
    classes: tuple[Part, ...]  # of its points, the most frequent ones


@dataclass(frozen=True)
class WordFindings:
    """Words against labels. A share is None if no labelled point has a phrase; by_encoder also if unknown.

    remark: why the encoder could not judge, else empty. encoder: its name in the manifest.
    """

    points: int
    by_name: Share | None
    by_encoder: Share | None
    purity: Share | None
    encoder: str
    remark: str
    classes: tuple[ClassRow, ...]
    phrases: tuple[PhraseRow, ...]
    bins: Tables

    @property
    def warning(self) -> str:
        """What is wrong with the words, for the user; empty if nothing is."""
        if self.purity is None:
            return ""
        if self.purity.gained < _NOTHING:
            same = f"{self.purity.found:.1%} against {self.purity.by_chance:.1%}"
            return f"the words tell nothing: shuffled over the points they fit the classes as well ({same})"
        truths = [one for one in (self.by_name, self.by_encoder) if one is not None]
        if max(one.gained for one in truths) < _NOTHING:
            return (
                "the words name the classes hardly better than chance; if they are right but other words, "
                "give `classes: {synonyms: ...}` in the manifest"
            )
        return ""

    @property
    def misnamed(self) -> tuple[ClassRow, ...]:
        """The classes that the words call by the name of another one."""
        return tuple(
            row
            for row in self.classes
            if row.instead and row.instead.share > _MISNAMED and row.points_named >= _OFTEN * self.points
        )


def word_findings(project: Project, lexicon: Lexicon, agreement: Agreement, by_bins: Tables) -> WordFindings:
    """Judge the phrases of labelled points by the classes that they name. by_bins: of the same points."""
    names = agreement.class_names
    named = {phrase: lexicon.classes_of(phrase) for phrase in agreement.of_phrase}
    nearest, remark = nearest_classes(project, names)
    return WordFindings(
        points=agreement.judged,
        by_name=agreement.truth(named),
        by_encoder=agreement.truth(nearest) if nearest else None,
        purity=agreement.purity(),
        encoder=project.manifest.text_embeddings.name,
        remark=remark,
        classes=tuple(class_rows(agreement, named, nearest)),
        phrases=tuple(phrase_rows(agreement, named, nearest)),
        bins=by_bins,
    )


def class_rows(
    agreement: Agreement, named: ClassesOf, nearest: ClassesOf, shown: int = 3
) -> Iterator[ClassRow]:
    """Yield one row for each class that occurs, with at most `shown` phrases."""
    for train_id in np.flatnonzero(agreement.points).tolist():
        on_class = {one: int(row[train_id]) for one, row in agreement.of_phrase.items() if row[train_id]}
        total, points = sum(on_class.values()), int(agreement.points[train_id])
        yield ClassRow(
            name=agreement.class_names[train_id],
            points=points,
            with_phrase=total / points,
            named=_right(on_class, named, train_id) / max(total, 1),
            nearest=_right(on_class, nearest, train_id) / max(total, 1) if nearest else None,
            phrases=_largest(on_class, shown),
            instead=_named_instead(on_class, named, train_id, agreement.class_names),
        )


def phrase_rows(
    agreement: Agreement, named: ClassesOf, nearest: ClassesOf, shown: int = 3
) -> Iterator[PhraseRow]:
    """Yield a row for each of the most frequent phrases, with at most `shown` classes."""
    names = agreement.class_names
    points_of = {phrase: int(row.sum()) for phrase, row in agreement.of_phrase.items() if row.any()}
    for phrase in sorted(points_of, key=lambda one: (-points_of[one], one))[:_IN_JSON]:
        on_class = dict(zip(names, agreement.of_phrase[phrase].tolist()))
        yield PhraseRow(
            phrase,
            points_of[phrase],
            names=tuple(names[i] for i in sorted(named.get(phrase, ()))),
            nearest=tuple(names[i] for i in sorted(nearest.get(phrase, ()))),
            classes=_largest(on_class, shown),
        )


def _right(points_of: Mapping[str, int], classes_of: ClassesOf, train_id: int) -> int:
    return sum(points for phrase, points in points_of.items() if train_id in classes_of.get(phrase, ()))


def _named_instead(
    points_of: Mapping[str, int], named: ClassesOf, train_id: int, class_names: Sequence[str]
) -> Part | None:
    """The other class that the phrases of a class's points name most; a share of all of these points."""
    by_class: Counter[int] = Counter()
    for phrase, points in points_of.items():
        classes = named.get(phrase, ())
        if train_id not in classes:
            by_class.update(dict.fromkeys(classes, points))
    if not by_class:
        return None
    most = min(by_class, key=lambda one: (-by_class[one], one))
    return Part(class_names[most], by_class[most], by_class[most] / sum(points_of.values()))


def _largest(points_of: Mapping[str, int], shown: int) -> tuple[Part, ...]:
    total = sum(points_of.values())
    ranked = sorted((name for name in points_of if points_of[name]), key=lambda one: (-points_of[one], one))
    return tuple(Part(name, points_of[name], points_of[name] / total) for name in ranked[:shown])


def as_json(found: WordFindings) -> dict[str, Any]:
    """The part `words` of audit.json."""
    misnamed = [row.name for row in found.misnamed]
    return {**to_json(found), "warning": found.warning, "misnamed": misnamed}


def in_words(found: WordFindings, labelled: LabelledSplit) -> Iterator[str]:
    """The lines for the user: the shares beside chance, a row per class, a row per frequent phrase."""
    yield (
        f"words against labels: {plural(found.points, 'labelled point')} with a phrase in "
        f"{plural(len(labelled.labelled), 'labelled scan')} ({labelled.ratio:g} %, {labelled.protocol}, "
        f"seed {labelled.seed})"
    )
    if found.purity is None:
        yield "  no labelled point has a phrase, so the words cannot be judged"
        return
    yield from _share_lines(found)
    yield "  by chance: the same phrases, shuffled over these points. The last share says nothing of meaning."
    yield from ([f"  WARNING: {found.warning}"] if found.warning else [])
    yield ""
    yield "by class: the share of its points with a phrase; of those, the shares whose phrase means the class"
    yield from _class_table(found.classes)
    yield from _misnamed_line(found.misnamed)
    yield ""
    yield from bins.in_words(found.bins)
    yield ""
    yield "by phrase: the classes that it names, and those that it lies on"
    yield from _phrase_table(found.phrases[:_IN_WORDS])


def _share_lines(found: WordFindings) -> Iterator[str]:
    yield f"  {'share of these points':57} found  by chance"
    for what, share in (
        ("their phrase names their class, by name and synonyms", found.by_name),
        (f"to the text encoder, it is the nearest class ({found.encoder})", found.by_encoder),
        ("they have the most frequent class of their phrase", found.purity),
    ):
        cells = f"{share.found:5.1%}  {share.by_chance:9.1%}" if share else f"not judged: {found.remark}"
        yield f"  {what:57} {cells}"


def _class_table(rows: tuple[ClassRow, ...]) -> Iterator[str]:
    width = max(len(_short(row.name)) for row in rows)
    yield f"{'class':{width}} {'points':>9} {'phrase':>6} {'named':>6} {'nearest':>7}  most frequent phrases"
    for row in rows:
        phrases = ", ".join(f"{_short(one.name)} {one.share:.0%}" for one in row.phrases)
        named = f"{row.named:.0%}" if row.phrases else "-"
        nearest = f"{row.nearest:.0%}" if row.phrases and row.nearest is not None else "-"
        cells = f"{row.points:9d} {row.with_phrase:6.0%} {named:>6} {nearest:>7}"
        yield f"{_short(row.name):{width}} {cells}  {phrases}".rstrip()


def _misnamed_line(rows: tuple[ClassRow, ...]) -> Iterator[str]:
    told = [
        f"{_short(row.name)} ({_short(row.instead.name)} {row.instead.share:.0%})"
        for row in rows
        if row.instead
    ]
    if told:
        yield (
            f"NOTE: called by another name on most of these points: {', '.join(told)}. "
            "A network that learns these words may lose the class; compare its IoU with METHOD=supervised"
        )


def _phrase_table(rows: tuple[PhraseRow, ...]) -> Iterator[str]:
    named = {row.phrase: _short(", ".join(row.names) or "-") for row in rows}
    nearest = {row.phrase: _short(", ".join(row.nearest) or "-") for row in rows}
    widths = [
        max(len(head), *map(len, cells))
        for head, cells in (
            ("phrase", [_short(row.phrase) for row in rows]),
            ("names", named.values()),
            ("nearest", nearest.values()),
        )
    ]
    first, second, third = widths
    yield f"{'phrase':{first}} {'points':>9}  {'names':{second}}  {'nearest':{third}}  its points are"
    for row in rows:
        classes = ", ".join(f"{one.name} {one.share:.0%} ({one.points})" for one in row.classes)
        cells = f"{named[row.phrase]:{second}}  {nearest[row.phrase]:{third}}"
        yield f"{_short(row.phrase):{first}} {row.points:9d}  {cells}  {classes}"


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."

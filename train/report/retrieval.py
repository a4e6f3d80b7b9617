"""The section of a run's page about queries: how well the names of the classes find their points."""

from __future__ import annotations

from train.outputs.retrieval import Retrieval
from train.report.markup import Markup, element, join
from train.report.tables import headline, plain_table
from train.report.words import SPLIT_NAMES, percent, plural


def retrieval(score: Retrieval) -> Markup:
    """The score of a run's query head, for the page of the run."""
    mean = ("mean average precision", percent(score.mean), "per cent, over the classes that occur")
    chance = ("chance", percent(score.chance), "per cent, in a random order")
    order = sorted(zip(score.queries, score.average_precision, score.share), key=lambda row: -(row[1] or 0.0))
    rows = [(query, percent(precision), percent(share)) for query, precision, share in order if share]
    words = (
        f"Every class's name was asked for over all {plural(score.points, 'point')} of "
        f"{plural(score.scans, 'scan')} of the {SPLIT_NAMES.get(score.split, score.split)} split; average "
        "precision says how far its points come first. The network sees points alone."
    )
    return join(
        element("p", words),
        headline([mean, chance]),
        plain_table(("asked for", "average precision, %", "share of the points, %"), rows),
    )

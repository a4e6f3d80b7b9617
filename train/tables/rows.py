"""The parts of a table: rows, which are methods with settings, and claims about their order."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Benchmark = Literal["SemanticKITTI", "ScanNet"]
World = Literal["outdoors", "indoors"]

PAPER_RATIOS: dict[Benchmark, tuple[float, ...]] = {
    "SemanticKITTI": (1, 10, 20, 50),
    "ScanNet": (5, 10, 20, 30, 40),
}
"""Percent, from the heads of the paper's tables; its Sec. 4.3 names others."""


@dataclass(frozen=True)
class Row:
    """A method with settings, and the paper's figures for it."""

    title: str
    method: str  # its name on the command line. It need not exist yet
    settings: tuple[str, ...] = ()  # as after --set
    tag: str | None = None  # ends the names of its run folders. Rows of one method and tag share their runs
    times_longer: int = 1  # number of steps, as a multiple of the preset's
    labelled: float | None = None  # percent of the scans with labels, at every ratio; None: the table's ratio
    world: World | None = None  # the only world that the method works in; None for both
    # mIoU in percent at PAPER_RATIOS; empty if the paper prints none
    paper: Mapping[Benchmark, tuple[float | None, ...]] = field(default_factory=dict)

    def papers(self, benchmark: Benchmark, ratio: float) -> float | None:
        """The paper's mIoU in percent at its ratio `ratio`; None if it prints none."""
        printed = self.paper.get(benchmark)
        return None if printed is None else printed[PAPER_RATIOS[benchmark].index(ratio)]


@dataclass(frozen=True)
class Claim:
    """The paper's claim that row `better` is better than row `worse`. Both are titles."""

    better: str
    worse: str


@dataclass(frozen=True)
class Table:
    """A table or figure."""

    name: str
    title: str
    rows: tuple[Row, ...]
    reference: str  # title of the row that the others are compared with
    claims: tuple[Claim, ...]
    note: str = ""
    # Percent, of a simulated world; empty for the demo's ratio. A table with them is drawn over the ratio.
    ratios: tuple[float, ...] = ()
    in_camera: bool = False  # whether accuracy, and the points in camera, are shown below the figures

    @property
    def heading(self) -> str:
        """ "Table 2" or "Figure 7"."""
        return f"Figure {self.name.removeprefix('fig')}" if "fig" in self.name else f"Table {self.name}"

    def row(self, title: str) -> Row:
        """The row with this title."""
        return next(row for row in self.rows if row.title == title)

    @property
    def shows_paper(self) -> bool:
        """Whether the paper prints figures for any row."""
        return any(row.paper for row in self.rows)

    def benchmark(self, world: World) -> Benchmark:
        """The benchmark whose figures are shown beside ours: of the same world, if the paper prints any."""
        indoors = world == "indoors" and any("ScanNet" in row.paper for row in self.rows)
        return "ScanNet" if indoors else "SemanticKITTI"


def nearest_ratio(benchmark: Benchmark, ratio: float) -> float:
    """The paper's ratio that is nearest to `ratio`, by quotient."""
    return min(PAPER_RATIOS[benchmark], key=lambda papers: abs(math.log(papers / ratio)))

"""A table as a Markdown page: protocol, figures by ratio, claims, and the command of each row."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from statistics import fmean

from train.report.words import SPLIT_NAMES
from train.tables.effort import effort_line
from train.tables.figures import QUANTITIES, TableResults
from train.tables.plan import TableRun
from train.tables.rows import Row, nearest_ratio
from train.tables.run_figures import RunFigures
from train.tables.statistics import Interval, verdict

AGAINST = {
    "holds": "above",
    "does not hold": "below",
    "not distinguishable": "not distinguishable",
    "not run": "",
}
"""The words for the verdict on "this row is better than the reference row"."""


def as_markdown(filled: TableResults, command: str, chart: str) -> str:
    """The page. command: makes the page again. chart: file name of the plot."""
    table, recipe = filled.plan.table, filled.plan.recipe
    blocks = [
        f"# {table.heading}: {table.title}, on {recipe.dataset}",
        f"`{command}`",
        table.note,
        _protocol(filled),
        f"![mIoU of every row, with its interval]({chart})",
    ]
    for ratio in recipe.ratios:
        blocks += [f"## {ratio:g} % labelled{_scans(filled, ratio)}", figures_table(filled, ratio)]
        blocks += [further_table(filled, ratio) if table.in_camera else "", effort_line(filled, ratio)]
    if filled.plan.table.claims:
        blocks += ["## The order that the paper claims", _claims(filled)]
    missing = _missing(filled)
    blocks += ["## Not in the table", missing] if missing else []
    blocks += ["## The rows", _rows(filled), "## The runs", _runs(filled)]
    return "\n\n".join(filter(None, blocks)) + "\n"


def make_command(target: str, variables: Mapping[str, str | None]) -> str:
    """ "make TARGET KEY=value ...", quoted for a shell; empty values are left out."""
    given = [f"{key}={shlex.quote(value)}" for key, value in variables.items() if value]
    return " ".join(["make", target, *given])


def words_of_settings(settings: Sequence[str]) -> str:
    """Several settings as the value of SET, separated by spaces."""
    return " ".join(setting.replace(" ", "") for setting in settings)


def _protocol(filled: TableResults) -> str:
    recipe, cells = filled.plan.recipe, filled.plan.cells
    points = [
        f"- figures: mIoU in per cent on the {SPLIT_NAMES[recipe.split]} scans, point level, last "
        "checkpoint, points alone, no test-time augmentation",
        "- *official*: the mean by the rule of the data set's own evaluator; *dropped*, with its intervals "
        "and differences: the mean over the classes that are true or predicted (absent classes dropped)",
        f"- seeds {', '.join(map(str, recipe.seeds))}: each chooses the weights, the order of the batches "
        "and, if the protocol is `nested`, the labelled scans; the same for every row",
        "- intervals: 95 %, Student's t over the seeds; one interval in twenty misses by chance alone",
        "- differences are paired, one per seed; a claim `holds` or `does not hold` if the interval of the "
        "paired difference excludes 0, else it is `not distinguishable`",
    ]
    if filled.plan.table.shows_paper:
        papers = "single numbers without seeds, on its data, at its nearest ratio"
        points.append(f"- the paper's figures are {papers}")
    if not cells:
        return "\n".join(points)
    config = cells[0].plan.config
    protocols = ", ".join(sorted({cell.run.split.protocol for cell in cells}))
    shared = f", with `{words_of_settings(recipe.settings)}`" if recipe.settings else ""
    preset = f"- preset `{config.preset}`, {config.schedule.steps} steps{shared}. {config.note}"
    return "\n".join([f"- labelled scans: chosen as `{protocols}`", preset, *points])


def _scans(filled: TableResults, ratio: float) -> str:
    cells = [cell for cell in filled.plan.cells if cell.ratio == ratio and cell.row.labelled is None]
    splits = [cell.run.split for cell in cells]
    if not splits:
        return ""
    labelled = len(splits[0].labelled)
    return f" ({labelled} of {labelled + len(splits[0].unlabelled)} scans)"


def figures_table(filled: TableResults, ratio: float) -> str:
    """The mIoU of each row, with interval and paired differences from the reference row."""
    table, recipe = filled.plan.table, filled.plan.recipe
    benchmark = table.benchmark(recipe.world)
    papers = nearest_ratio(benchmark, ratio)
    head = [
        *("row", "mIoU, official", "mIoU, dropped", "95 %", "n"),
        *(f"minus {table.reference}, by seed", "mean", "95 %"),
        "against it",
        *([f"paper, {benchmark} {papers:g} %"] if table.shows_paper else []),
    ]
    lines = []
    for row in table.rows:
        entry = filled.entry(row, ratio)
        gaps = ", ".join(f"{gap:+.1f}" for gap in entry.gaps.values())
        official = "" if entry.official is None else f"{entry.official:.1f}"
        if (row.title, ratio) in filled.plan.left_out:
            official = "not built"
        figures = [official, *interval_words(entry.miou), str(len(entry.values) or "")]
        against = [gaps, *interval_words(entry.gap, "+"), AGAINST[verdict(entry.gap)]]
        printed = row.papers(benchmark, papers)
        beside = ["" if printed is None else f"{printed:.1f}"] if table.shows_paper else []
        lines.append([row.title, *figures, *against, *beside])
    return markdown_table(head, lines)


def further_table(filled: TableResults, ratio: float) -> str:
    """Accuracy, and the figures of the points in camera, each with its difference from the reference row."""
    reference = filled.plan.table.reference
    head = ["row", *(column for quantity in QUANTITIES for column in (quantity, f"minus {reference}"))]
    lines = []
    for row in filled.plan.table.rows:
        found = [filled.further(row.title, ratio, quantity) for quantity in QUANTITIES]
        cells = [(interval_words(mean), interval_words(gap, "+")) for mean, gap in found]
        lines.append([row.title, *(bounded(*words) for pair in cells for words in pair)])
    return markdown_table(head, lines)


def bounded(mean: str, bounds: str) -> str:
    """`interval_words` in one cell: "53.0 (49.9 to 56.2)"."""
    return f"{mean} ({bounds})" if bounds else mean


def _claims(filled: TableResults) -> str:
    ratios = filled.plan.recipe.ratios
    lines = []
    for claim in filled.plan.table.claims:
        said = []
        for ratio in ratios:
            difference, judged = filled.judged(claim, ratio)
            mean, bounds = interval_words(difference, "+")
            shown = f": {mean}" + (f" ({bounds})" if bounds else " (one seed)") if mean else ""
            said.append(f"{judged}{shown}")
        lines.append([f"{claim.better} > {claim.worse}", *said])
    return markdown_table(["claim", *[f"{ratio:g} %" for ratio in ratios]], lines)


def _missing(filled: TableResults) -> str:
    """The rows that cannot be run and the runs without figures, each with the reason."""
    plan = filled.plan
    lines = [f"- {title}: not built ({why})" for title, why in plan.not_built.items()]
    lines += [f"- {title}, {ratio:g} %: not built ({why})" for (title, ratio), why in plan.left_out.items()]
    lines += [f"- {_named(cell)}: {cell.state}: {cell.why}" for cell in plan.cells if cell.why]
    waiting: dict[str, list[str]] = {}  # row and ratio -> seeds
    for cell in plan.cells:
        if cell.is_to_do:
            waiting.setdefault(f"{cell.row.title}, {cell.ratio:g} %", []).append(str(cell.seed))
    lines += [f"- {row}: not finished: seed {', '.join(seeds)}" for row, seeds in waiting.items()]
    return "\n".join(lines)


def _named(cell: TableRun) -> str:
    return f"{cell.row.title}, {cell.ratio:g} %, seed {cell.seed}"


def _rows(filled: TableResults) -> str:
    lines = [[row.title, _command_of(row, filled)] for row in filled.plan.table.rows]
    return markdown_table(["row", "one run of it by itself"], lines)


def _command_of(row: Row, filled: TableResults) -> str:
    cell = next((cell for cell in filled.plan.cells if cell.row == row), None)
    if cell is None:
        return ""
    recipe = filled.plan.recipe
    variables = {
        "MANIFEST": recipe.manifest_file,
        "DATASET": recipe.dataset,
        "METHOD": row.method,
        "RATIO": f"{cell.plan.config.ratio:g}",
        "SEED": str(cell.seed),
        "PRESET": recipe.preset,
        "SET": words_of_settings(cell.settings),
        "TAG": recipe.tagged(row),
    }
    return f"`{make_command('train', variables)}`"


def _runs(filled: TableResults) -> str:
    """The finished runs of each row and ratio: figures, mean costs, fingerprints."""
    lines = []
    for row in filled.plan.table.rows:
        for ratio in filled.plan.recipe.ratios:
            found = filled.runs(row.title, ratio)
            if found:
                lines.append([row.title, f"{ratio:g} %", *_of_runs(found)])
    head = [
        *("row", "ratio", "seeds", "mIoU, official", "mIoU, dropped"),
        *("steps", "passes", "updates", "s per step", "fingerprints"),
    ]
    explained = (
        "Figures are listed by seed, costs are means. Passes go through any backbone, per micro-batch. "
        "Updates are the optimiser's, per step. A fingerprint is the beginning of the digest of a "
        "run's settings, pairs and labelled scans."
    )
    return f"{explained}\n\n{markdown_table(head, lines)}" if lines else "None is finished."


def _of_runs(found: Mapping[int, RunFigures]) -> list[str]:
    """The cells of one line of _runs. found: seed -> figures."""
    runs = list(found.values())
    official, reached = (
        ["none" if one is None else f"{one:.1f}" for one in figures]
        for figures in ([run.official for run in runs], [run.miou for run in runs])
    )
    costs = [[getattr(run, name) for run in runs] for name in ("passes", "updates", "seconds")]
    prints = " ".join(f"`{run.digest[:12]}`" for run in runs)
    return [
        *(", ".join(map(str, found)), ", ".join(official), ", ".join(reached), str(runs[0].steps)),
        *(_mean(values) for values in costs),
        prints,
    ]


def _mean(values: Sequence[float | None]) -> str:
    """The mean as text; empty if a value is missing."""
    known = [value for value in values if value is not None]
    return f"{fmean(known):.3g}" if len(known) == len(values) else ""


def interval_words(found: Interval | None, sign: str = "") -> tuple[str, str]:
    """The mean and "low to high", as text; empty without values. sign: "+" for differences."""
    if found is None:
        return "", ""
    form = f"{sign}.1f"
    bounds = "" if math.isinf(found.half) else f"{found.low:{form}} to {found.high:{form}}"
    return f"{found.mean:{form}}", bounds


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells as a table of Markdown; a bar in a cell is escaped."""
    rule = ["---"] * len(head)
    cells = [[cell.replace("|", "\\|") for cell in line] for line in (head, rule, *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)

"""What text does for the student of LASS3D, and how much of it reaches the teacher, over training.

    python benchmarks/experiments/text_gap.py --seeds 0 1 2 --into docs

Trains METHOD=lass3d with the preset demo, or another. On the way it evaluates four networks on the validation
scans. Their images need captions (`caption_splits`):

- the student as it is trained: its features are fused with the texts of the scan;
- the same student with every text hidden: its features take the path of points without a text;
- the same student with the teacher's adapter: the teacher without averaging;
- the teacher, which is the result of the method.

Gives mIoU (absent classes dropped) over all points and over the points with a text. Supervised-only is
trained for comparison. Writes text_gap.csv and text_gap.svg, and prints the last figures of each seed. It
writes no run folder. Evaluation draws no random numbers, so the weights are the same as from `make train`,
and so are the printed digests.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lass3d_core.errors import exit_status
from lass3d_core.files.atomic import write_text
from lass3d_core.manifest.reading import read_manifest
from lass3d_core.manifest.schema import Manifest
from lass3d_core.paper.metrics import confusion_matrix, mean_iou
from lass3d_core.paper.safm import TextBatch
from lass3d_core.records import NONE
from lass3d_core.sparse.voxel_inputs import voxel_inputs
from lass3d_core.sparse.voxels import first_valid
from train.config import with_settings
from train.data.batches import StepBatches, batch_loader
from train.data.evaluation_scans import EvaluationScan
from train.data.paired_scans import PairedScans
from train.data.text_batches import TextRowsOf
from train.loop import Callbacks, train
from train.methods.contract import Method
from train.methods.lass3d import Lass3d
from train.optimiser import make_optimiser
from train.presets import preset_for
from train.report.curves import ticks
from train.report.render import environment
from train.runs.run import Run
from train.runs.run_folder import RunFolder

TEXT, HIDDEN, ADAPTED, TEACHER = "student, text", "student, text hidden", "student, adapter", "teacher"
SUPERVISED = "supervised only"
BRANCHES = (TEXT, HIDDEN, ADAPTED, TEACHER, SUPERVISED)
COUNTED = ("all points", "points with a text")

Figures = dict[tuple[str, str], float]
"""(branch, which points) -> mIoU in per cent."""

Course = dict[int, Figures]
"""Steps done -> figures."""


@dataclass(frozen=True)
class ReadScan:
    """A validation scan with its texts.

    image, entity (M,) int64: of its voxels, -1 for none. paired (N,) bool: the point has a text.
    """

    whole: EvaluationScan
    image: Tensor
    entity: Tensor
    texts: TextBatch
    paired: np.ndarray


def main() -> None:
    """Train, write the two files, print the last figures of each seed."""
    options = arguments()
    torch.set_num_threads(1)
    options.into.mkdir(parents=True, exist_ok=True)  # fails now instead of after all the training
    manifest, dataset = read_manifest(options.manifest, options.dataset)
    courses: dict[int, Course] = {}
    for seed in options.seeds:
        courses[seed] = {}
        for method in ("lass3d", "supervised"):
            run = planned(manifest, dataset, options.preset, method, options.ratio, seed, options.set)
            print(f"{run.config.name}: {run.saved.digest[:12]}", flush=True)
            for done, figures in followed(run, options.every).items():
                courses[seed].setdefault(done, {}).update(figures)
        print_last(seed, courses[seed])
    stem = options.into / ("text_gap" if dataset == manifest.default else f"text_gap_{dataset}")
    write_text(stem.with_suffix(".csv"), as_csv(courses))
    write_text(stem.with_suffix(".svg"), as_svg(courses, f"{dataset}, {options.ratio:g} % labelled") + "\n")
    print(f"wrote {stem}.csv and {stem}.svg")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--manifest", type=Path, default=Path("data_manifest.yaml"))
    parser.add_argument("--dataset", help="default: the default of the manifest")
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--ratio", type=float, default=2.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", nargs="*", default=[], help="key=value of the runs, as for make train")
    parser.add_argument("--every", type=int, default=30, help="steps between two evaluations")
    parser.add_argument("--into", type=Path, default=Path())
    return parser.parse_args()


def planned(
    manifest: Manifest,
    dataset: str,
    preset: str,
    method: str,
    ratio: float,
    seed: int,
    settings: Sequence[str],
) -> Run:
    """The same run as from `make train`; its folder is not written."""
    shared = [setting for setting in settings if method == "lass3d" or not setting.startswith("method.")]
    spec = manifest.datasets[dataset]
    config = with_settings(preset_for(preset, spec)(dataset, method, ratio, seed), shared)
    pairs = PairedScans.open(manifest.artifacts_of(dataset))
    folder = RunFolder.of(manifest.runs, config, None)
    return Run.of(config, pairs, spec, folder, torch.device("cpu"))


def followed(run: Run, every: int) -> Course:
    """Train `run`; evaluate its branches every `every` steps and at the end."""
    config = run.config
    method = run.make_method()
    optimiser = make_optimiser(config.optim, method.parameters())
    scans = [read_scan(run, scan_id) for scan_id in run.pairs.labelled_scans("val")]
    course: Course = {}

    def evaluate(step: int, _: Mapping[str, float]) -> None:
        done = step + 1
        if done % every == 0 or done == config.schedule.steps:
            method.eval()
            course[done] = figures_of(method, scans, run.pairs.num_classes)
            method.train()

    steps = config.schedule.steps
    batches = StepBatches(run.pairs, run.split, config.data, config.seed, run.levels, steps)
    around = Callbacks(config.name, log=evaluate, validate=dict, save=lambda done: None)
    train(config, method, optimiser, batch_loader(batches, 0, 0), run.device, 0, around)
    return course


def read_scan(run: Run, scan_id: str) -> ReadScan:
    """A scan, whole, with the rows of its texts."""
    scan = run.pairs.read(scan_id)
    found = TextRowsOf(run.pairs.text_table).batch([scan.pairs])
    (image,), (phrases,) = found.image, found.phrase
    entity = phrases[:, 0]  # the phrase that most views agree on
    data = run.config.data
    voxels, _ = voxel_inputs(scan.points, scan.features, data.voxel_m, data.from_corner)
    return ReadScan(
        run.whole_scan(scan_id),
        first_valid(torch.from_numpy(image), voxels),
        first_valid(torch.from_numpy(entity), voxels),
        found.texts,
        (image != NONE) | (entity != NONE),
    )


def figures_of(method: Method, scans: Sequence[ReadScan], num_classes: int) -> Figures:
    """mIoU of every branch of the method at this step."""
    matrices: dict[tuple[str, str], np.ndarray] = {}
    for scan in scans:
        for branch, logits in branches(method, scan).items():
            predicted = logits.argmax(dim=1)[scan.whole.inverse].numpy().astype(np.uint8)
            for counted, kept in zip(COUNTED, (np.ones_like(scan.paired), scan.paired)):
                found = confusion_matrix(scan.whole.labels[kept], predicted[kept], num_classes)
                matrices[branch, counted] = matrices.get((branch, counted), 0) + found
    return {key: 100 * mean_iou(matrix, "dropped") for key, matrix in matrices.items()}


@torch.no_grad()
def branches(method: Method, scan: ReadScan) -> dict[str, Tensor]:
    """The logits (M,C) of every branch of LASS3D, or of the predictor of another method."""
    points = scan.whole.features, scan.whole.pyramid
    if not isinstance(method, Lass3d):
        return {SUPERVISED: method.predictor(*points)}
    f_3d = method.backbone(*points)
    none = torch.full_like(scan.image, NONE)
    return {
        TEXT: method.classifier(method.safm(f_3d, scan.image, scan.entity, scan.texts)),
        HIDDEN: method.classifier(method.safm(f_3d, none, none, scan.texts)),
        ADAPTED: method.classifier(method.teacher.adapter(f_3d)),
        TEACHER: method.teacher(*points),
    }


def print_last(seed: int, course: Course) -> None:
    """Print the last figures of a seed."""
    done, figures = max(course.items())
    for counted in COUNTED:
        row = ", ".join(f"{branch} {figures[branch, counted]:.1f}" for branch in BRANCHES)
        print(f"seed {seed}, step {done}, {counted}: {row}", flush=True)


def as_csv(courses: Mapping[int, Course]) -> str:
    """A row for each seed, step, branch and choice of points."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("seed", "step", "branch", "points", "miou"))
    for seed, course in courses.items():
        for done, figures in course.items():
            rows.writerows((seed, done, *key, f"{miou:.2f}") for key, miou in figures.items())
    return text.getvalue()


_WIDTH, _HEIGHT = 330, 260
_DRAWING = """\
{% set left, top, gap = 40, 52, 40 + width %}
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {{ 2 * gap + 190 }} {{ top + height + 44 }}"
 width="{{ 2 * gap + 190 }}" height="{{ top + height + 44 }}" role="img">
<style>
svg { font: 12px system-ui, sans-serif; color: #171a1e; background: #fcfcfb }
text { fill: currentColor } .quiet { fill: #59626d } .grid { stroke: #dcdfe2 }
.seed { fill: none; stroke-width: 1; opacity: .35 } .mean { fill: none; stroke-width: 2.2 }
.b0 { stroke: #a3470b } .b1 { stroke: #a3470b; stroke-dasharray: 5 4 }
.b2 { stroke: #00707a; stroke-dasharray: 5 4 } .b3 { stroke: #00707a } .b4 { stroke: #777f88 }
@media (prefers-color-scheme: dark) {
  svg { color: #e4e7ea; background: #121518 } .quiet { fill: #98a2ad } .grid { stroke: #2c3238 }
  .b0, .b1 { stroke: #f0a565 } .b2, .b3 { stroke: #58c4c9 } .b4 { stroke: #8d96a0 }
}
</style>
<title>{{ title }}</title>
<text x="12" y="20">{{ title }}</text>
{% for panel in panels %}
<g transform="translate({{ left + loop.index0 * gap }} {{ top }})">
<text x="0" y="-10" class="quiet">{{ panel.counted }}</text>
{% for y, label in panel.mious %}
<line x1="0" x2="{{ width }}" y1="{{ y }}" y2="{{ y }}" class="grid"/>
<text x="-6" y="{{ y }}" dy="0.34em" text-anchor="end">{{ label }}</text>
{% endfor %}
{% for x, label in panel.steps %}
<text x="{{ x }}" y="{{ height + 18 }}" text-anchor="middle">{{ label }}</text>
{% endfor %}
{% for path, kind in panel.lines %}
<path d="{{ path }}" class="{{ kind }}"/>
{% endfor %}
</g>
{% endfor %}
<text x="{{ left }}" y="{{ top + height + 38 }}" class="quiet">steps; thick: mean of the seeds</text>
<g transform="translate({{ 2 * gap + 12 }} {{ top + 12 }})">
{% for branch in branches %}
{% set y = 20 * loop.index0 %}
<path d="M0 {{ y }}h26" class="mean b{{ loop.index0 }}"/>
<text x="32" y="{{ y }}" dy="0.34em">{{ branch }}</text>
{% endfor %}
</g>
</svg>"""


@dataclass(frozen=True)
class Panel:
    """Axes and lines for one choice of points, in pixels. mious, steps: place and label of each tick."""

    counted: str
    mious: list[tuple[float, str]]
    steps: list[tuple[float, str]]
    lines: list[tuple[str, str]]


def as_svg(courses: Mapping[int, Course], where: str) -> str:
    """Draw a panel for each choice of points: a thin line per seed, a thick line for their mean."""
    high = max(max(figures.values()) for course in courses.values() for figures in course.values()) + 2
    return (
        environment()
        .from_string(_DRAWING)
        .render(
            title=f"Strict LASS3D over training: {where}, validation mIoU in per cent",
            panels=[panel(courses, counted, high) for counted in COUNTED],
            branches=BRANCHES,
            width=_WIDTH,
            height=_HEIGHT,
        )
    )


def panel(courses: Mapping[int, Course], counted: str, high: float) -> Panel:
    """Scale the courses to a frame of _WIDTH by _HEIGHT. high: the mIoU at its upper edge, per cent."""
    steps = sorted(next(iter(courses.values())))
    lines = []
    for i, branch in enumerate(BRANCHES):
        of_seeds = np.array(
            [[course[done][branch, counted] for done in steps] for course in courses.values()]
        )
        for mious, kind in [*((row, "seed") for row in of_seeds), (of_seeds.mean(axis=0), "mean")]:
            path = "L".join(f"{_x(done, steps)} {_y(miou, high)}" for done, miou in zip(steps, mious))
            lines.append((f"M{path}", f"{kind} b{i}"))
    return Panel(
        counted,
        [(_y(miou, high), f"{miou:g}") for miou in ticks(0, high)],
        [(_x(done, steps), f"{done:g}") for done in ticks(0, steps[-1])],
        lines,
    )


def _x(done: float, steps: Sequence[int]) -> float:
    return round(float(done / steps[-1] * _WIDTH), 1)


def _y(miou: float, high: float) -> float:
    return round(float((1 - miou / high) * _HEIGHT), 1)


if __name__ == "__main__":
    sys.exit(exit_status(main, "what was trained is gone; start it again"))

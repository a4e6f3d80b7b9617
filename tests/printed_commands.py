"""Every command that README, docs and `make help` print, and why some of them cannot run in a test."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
FIRST = ("README.md", "docs/your-data.md", "docs/models.md", "docs/training.md", "docs/use-a-model.md")
"""Pages in the order in which people read them: a command may need what one before it made."""
HELP = "make help"

PROGRAMS = ("make", "python", "pip", "lass3d-predict", "torchrun", "docker", "apt-get", "git", "ray")
_STARTS = re.compile(rf"(?:[A-Z_0-9]+=\S+ )*(?:{'|'.join(PROGRAMS)})(?: |$)")
_SHELL = ("", "sh", "bash", "console")


@dataclass(frozen=True)
class Printed:
    """A command as it is printed. place: the page and its line, or `make help`."""

    text: str
    place: str

    @property
    def page(self) -> str:
        return self.place.partition(" line ")[0]


@cache
def printed() -> tuple[Printed, ...]:
    """Every command once, at the first place that prints it."""
    pages = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))
    others = [page for page in pages if page not in FIRST and page not in FIGURES]
    found = [one for page in (*FIRST, *others) for one in _of_page(page)]
    found += [*_of_help(), *(one for page in FIGURES for one in _of_page(page))]
    by_text: dict[str, Printed] = {}
    for one in found:
        by_text.setdefault(one.text, one)
    return tuple(by_text.values())


def why_not(command: Printed) -> str | None:
    """Why a test does not run it; None if a test runs it."""
    if command.page in FIGURES:
        return FIGURES[command.page]
    return next((why for form, why in NOT_HERE if re.search(form, command.text)), None)


FIGURES = {
    "docs/results.md": "tables of many runs, hours each",
    "docs/choices.md": "tables of many runs, hours each",
    "docs/results-demo.md": "trainings, minutes each",
    "docs/measurements.md": "measurements, minutes to hours each; tests of benchmarks/ run their parts",
    "docs/method.md": "experiments of many runs, hours each",
    "docs/scale.md": "measurements of large data",
}
"""Pages that stand beside their figures the commands that made them: they are parsed and not run."""

NOT_HERE = (
    (r"…|\.\.\.|\bKEY=|=NAME\b|=n\b|=file\b", "a form, not a command"),
    (
        r"VENV=\.venv-lvm|make (setup-lvm|weights|test-lvm|bench-lvm)",
        "the real models: 6 GB of packages, and weights",
    ),
    (r"^(pip|apt-get|docker|git|ray|torchrun)\b", "changes the machine, or needs the network or a cluster"),
    (r"^make (test|test-quick|test-slow|lint)$", "runs the tests, this one among them"),
    (r"^make lock$", "needs the network"),
    (r"^make docs$", "needs the extra docs; tests/test_site.py builds the pages where it is there"),
    (r"^make view\b", "needs the extra view; tests/train/outputs/test_recording.py"),
    (r"\bLOG=", "needs the package of a tracker; tests/train/trackers/test_packages.py"),
    (
        r"^make (bench|faults)\b|^python benchmarks/(?!gpu_check)",
        "measures for minutes to hours on an idle machine",
    ),
    (r"benchmarks/gpu_check\.py`?$", "needs a GPU"),
    (r"PRESET=(street|street_room|drives|semantickitti|nuscenes|scannet|paper)\b", "thousands of steps"),
    (r"^make table\b(?!.*PLAN=1)", "trains many runs, hours"),
    (r"MANIFEST=benchmarks/experiments", "needs real frames or models beside the checkout"),
    (r"DATASET=mine\b|RATIO=50\b", "the reader's own data; tests/test_your_data.py runs docs/your-data.md"),
    (r"^make clean\b", "asks, then deletes; tests/preprocess/test_clean.py answers"),
    (r"^make (preview|predict|onnx|compare|query)$", "asks for what the line of the help names"),
)
"""A form of command, and why it does not run in a test."""


def _of_page(page: str) -> Iterator[Printed]:
    text = (ROOT / page).read_text(encoding="utf-8")
    fences = list(re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE))
    for fence in fences:
        if fence[1] in _SHELL:
            for line in fence[2].replace("\\\n", " ").splitlines():
                yield from _command(line, page, text, fence.start(2))
    outside = re.sub(
        r"^```.*?^```", lambda fence: re.sub(r"\S", " ", fence[0]), text, flags=re.DOTALL | re.MULTILINE
    )
    for span in re.finditer(r"(?<!`)`([^`]+)`(?!`)", outside):
        yield from _command(" ".join(span[1].split()), page, outside, span.start())


def _command(line: str, page: str, text: str, start: int) -> Iterator[Printed]:
    """The command of a line, without the remark behind it; nothing if the line begins with no program."""
    command = " ".join(re.split(r"\s+#(?= )", line)[0].split())
    if _STARTS.match(command) and (" " in command or command == "make"):
        yield Printed(command, f"{page} line {text.count(chr(10), 0, start) + 1}")


def _of_help() -> Iterator[Printed]:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for line in shown.splitlines():
        if named := re.match(r"  make ([a-z-]+)", line):
            yield Printed(f"make {named[1]}", HELP)
        for example in re.findall(r"make [a-z-]+(?: [A-Z]+=[\w.,/-]+)+", line):
            yield Printed(example.rstrip("."), HELP)

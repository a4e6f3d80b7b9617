"""Every command that README, docs, help and the programs print is right, and runs as it is printed.

The quick tests read all of them. The slow ones run them in a clean copy of the project, in which schedules
and worlds are small. tests/printed_commands.py says why some cannot run there.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lass3d_core.clouds.ply import write_ply
from preprocess.commands import _parser as preprocess_parser
from tests.printed_commands import NOT_HERE, ROOT, Printed, printed, why_not
from tests.test_makefile import environment_in
from train.commands.flags import parser as train_parser

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

ALL = printed()
# A reader has trained before he asks for figures, whichever page he reads first.
RUN = sorted(
    (one for one in ALL if why_not(one) is None),
    key=lambda one: not one.text.startswith(("make captions", "make pairs", "make train")),
)
PARSERS = {"preprocess": preprocess_parser, "train": train_parser}
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
SMALL = (
    ("train/presets/demo.py", "ScheduleConfig(300,", "ScheduleConfig(4,"),
    (
        "train/presets/demo.py",
        "validate_every=100, checkpoint_every=50",
        "validate_every=4, checkpoint_every=2",
    ),
    ("data_manifest.yaml", "val: 20, test: 30, seed: 0, cameras: 1", "val: 12, test: 3, seed: 0, cameras: 1"),
    ("data_manifest.yaml", "val: 20, test: 30, seed: 0, cameras: 4", "val: 2, test: 2, seed: 0, cameras: 4"),
    ("data_manifest.yaml", "train: 60, val: 12, test: 16", "train: 40, val: 2, test: 2"),
    ("data_manifest.yaml", "frames_per_room: 10", "frames_per_room: 2"),
)
"""File, what stands there, and what stands there in the copy."""


def test_commands_were_found_in_every_place() -> None:
    places = {one.page for one in ALL}
    assert {"README.md", "docs/training.md", "docs/use-a-model.md", "docs/models.md", "make help"} <= places
    assert len(RUN) >= 40


def test_every_reason_is_needed() -> None:
    assert [why for form, why in NOT_HERE if not any(re.search(form, one.text) for one in ALL)] == []


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment_in(tmp_path_factory.mktemp("environment") / "venv")


@pytest.mark.parametrize("command", ALL, ids=lambda one: one.text[:60])
def test_a_command_is_one_that_the_programs_know(command: Printed, environment: Path) -> None:
    words = shlex.split(command.text)
    if words[0] == "make" and why_not(command) != "a form, not a command":
        targets = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
        assert set(targets) <= TARGETS, command
        if why_not(command) is None and "-n" not in words:
            require_parses(words, environment)
    elif words[0] == "python" and words[1] != "-m":
        assert (ROOT / words[1]).is_file(), command
    elif words[0] == "pip" and "." in command.text:
        for extra in re.findall(r"\.\[([\w-]+)\]", command.text):
            assert re.search(rf"^{extra} =$", (ROOT / "setup.cfg").read_text(), flags=re.MULTILINE), command


def require_parses(words: list[str], environment: Path) -> None:
    """The programs' own parsers take what make gives them."""
    command = ["make", "--no-print-directory", f"VENV={environment}", *words[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        program = json.loads(line) if line.startswith('["-m"') else ["", ""]
        if program[1] in PARSERS:
            PARSERS[program[1]]().parse_args(program[2:])


def messages() -> Iterator[tuple[str, str]]:
    """Every "make ..." in quotes in a text of the programs, with its file. A value that is put in is {}."""
    for package in ("lass3d_core", "preprocess", "train"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for text in _texts(ast.parse(path.read_text())):
                for named in re.findall(r"""[`"“](make [a-z][^`"”]*)[`"”]""", text):
                    if not re.match(r"make [a-z-]*\{\}", named):
                        yield named, str(path.relative_to(ROOT))


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_every_command_in_a_message_is_a_target() -> None:
    found = list(messages())
    named = [(text, path, re.findall(r"^make((?: [a-z][a-z-]*(?![\w=]))+)", text)) for text, path in found]
    wrong = [
        (text, path) for text, path, targets in named if not targets or not set(targets[0].split()) <= TARGETS
    ]
    assert len(found) > 20 and wrong == []


def copy_of_the_project(folder: Path) -> None:
    """The files that git knows or would know, with small schedules and worlds, and an environment."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    for name, usual, small in SMALL:
        text = (folder / name).read_text()
        assert text.count(usual) == 1, f"{name}: {usual}"
        (folder / name).write_text(text.replace(usual, small))
    bin_folder = folder / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    for name, module in (("python", ""), ("lass3d-predict", "-m lass3d_core.model")):
        program = bin_folder / name
        program.write_text(f"#!/bin/sh\nPYTHONPATH='{folder}' exec '{sys.executable}' {module} \"$@\"\n")
        program.chmod(0o755)
    time.sleep(0.01)
    (folder / ".venv" / ".ready").touch()


def write_what_a_reader_has(folder: Path) -> None:
    """The reader's own files, by the names that the pages give them; run after the demo."""
    run = folder / "runs" / "street" / "lass3d_plus-demo-r2-s0"
    shutil.copyfile(run / "model.safetensors", folder / "model.safetensors")
    points = folder / "data" / "street" / "sequences" / "02" / "velodyne" / "000000.bin"
    scan = np.fromfile(points, np.float32).reshape(-1, 4)
    shutil.copyfile(points, folder / "scan.bin")
    (folder / "scans").mkdir()
    shutil.copyfile(points, folder / "scans" / "first.bin")
    write_ply(folder / "scan.ply", scan[:, :3], np.zeros((len(scan), 3), np.uint8), {"remission": scan[:, 3]})
    Image.fromarray(np.full((96, 128, 3), 84, np.uint8)).save(folder / "street.jpg")
    # The pages call a run that one has `folder`. This one, on range images, serves `make onnx` too.
    (folder / "folder").symlink_to(folder / "runs" / "street" / "lasermix-demo-r1-s0-range")


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a reader would: in the project's folder, with the environment activated."""
    path = f"{folder / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    of_make = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")  # a make that runs this test is not the reader's
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", *of_make)}
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**kept, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def require_ends_well(command: str, folder: Path) -> str:
    done = shell(command, folder)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def next_commands(output: str) -> list[str]:
    """The commands below the demo's last "next:"."""
    return [line.strip() for line in output.rpartition("next:\n")[2].splitlines() if line.strip()]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean copy of the project in which `make demo` has run."""
    folder = tmp_path_factory.mktemp("clean") / "lass3d"
    copy_of_the_project(folder)
    require_ends_well("make demo", folder)
    write_what_a_reader_has(folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("dataset", ["street", "street_four", "room"])
def test_the_last_lines_of_the_demo_work_as_they_are_printed(project: Path, dataset: str) -> None:
    commands = next_commands(require_ends_well(f"make demo DATASET={dataset}", project))
    assert len(commands) == 4
    for command in commands:
        require_ends_well(command, project)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("command", RUN, ids=lambda one: one.text[:60])
def test_a_command_runs_as_it_is_printed(command: Printed, project: Path) -> None:
    require_ends_well(command.text, project)


@pytest.mark.slow
def test_the_readmes_python_runs_on_a_file_of_ones_own(project: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    own = 'import numpy as np\nscan = np.fromfile("scan.bin", np.float32).reshape(-1, 4)\n'
    given = f"{own}points, features = scan[:, :3], scan[:, 3:]\n{block}\nprint(prediction.labels.shape)"
    (project / "own.py").write_text(given)
    assert re.fullmatch(r"\(\d+,\)\n", require_ends_well("python own.py", project))

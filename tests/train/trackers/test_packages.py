"""The real packages, offline: a run that was killed and resumed is one run there, and is what it is without.

They are optional extras: pip install wandb trackio mlflow-skinny.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from train.__main__ import main
from train.config import SavedRun
from train.runs.logs import RunLog, read_log
from train.trackers import PACKAGES

NAME = "supervised-demo-r20-s0"
TAKEN_AGAIN = 8  # the last checkpoint is from before it
Figures = dict[int, dict[str, float]]  # step -> its figures


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, _built: Any) -> Path:
    """The folder of a run without a tracker."""
    project = type(_built)(tmp_path_factory.mktemp("plain") / "project")
    shutil.copytree(_built.root, project.root)
    assert main(project.training()) == 0
    found: Path = project.run(NAME)
    return found


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Nothing outside `tmp_path` is read or written, and no key is known."""
    for name in (
        "WANDB_MODE",
        "WANDB_API_KEY",
        "MLFLOW_TRACKING_URI",
        "TRACKIO_SPACE_ID",
        "TRACKIO_SERVER_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", os.devnull)
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    yield tmp_path


def killed_and_resumed(tiny: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run that was killed after it had logged a step that no checkpoint holds."""
    with monkeypatch.context() as patch:
        write = RunLog.write

        def until(log: RunLog, step: int, figures: Any) -> None:
            write(log, step, figures)
            if step == TAKEN_AGAIN:
                raise Killed

        patch.setattr(RunLog, "write", until)
        with pytest.raises(Killed):
            main(tiny.training("--log", name))
    assert main(tiny.training("--log", name, "--resume")) == 0
    found: Path = tiny.run(NAME)
    return found


def rows_of(folder: Path) -> list[dict[str, str]]:
    """log.csv without what is measured by a clock."""
    timed = ("seconds", "seconds_waiting", "peak_memory_gib")
    return [
        {key: value for key, value in row.items() if key not in timed} for row in read_log(folder / "log.csv")
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKAGES)
def test_a_resumed_run_is_one_run_there_and_the_same_run_here(
    tiny: Any, plain: Path, offline: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    pytest.importorskip(name, reason=f"optional: pip install {PACKAGES[name]}")
    folder = killed_and_resumed(tiny, name, monkeypatch)
    said = capsys.readouterr().err
    assert "note:" not in said and said.count(f"{name}: ") == 2
    assert rows_of(folder) == rows_of(plain)
    assert SavedRun.load(folder / "config.json").digest == SavedRun.load(plain / "config.json").digest
    assert (folder / "metrics-test.json").read_text() == (plain / "metrics-test.json").read_text()
    figures, pictures, settings = READERS[name](folder)
    for row in read_log(folder / "log.csv"):
        assert figures[int(row["step"])]["loss"] == pytest.approx(float(row["loss"]), rel=1e-4)
    last = figures[11]
    assert last["val_miou"] == pytest.approx(float(read_log(folder / "log.csv")[-1]["val_miou"]), rel=1e-4)
    assert {"val_iou/ground", "final/test_miou", "final_test_iou/ground"} <= last.keys()
    assert pictures == 2
    assert str(settings["schedule.steps"]) == "12" and str(settings["method_name"]) == "supervised"


def in_wandb(folder: Path) -> tuple[Figures, int, dict[str, Any]]:
    """One id; each process left a folder, which `wandb sync` puts together."""
    from wandb.proto.wandb_internal_pb2 import Record

    files = sorted((folder / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(files) == 2 and len({file.name for file in files}) == 1
    figures: Figures = {}
    pictures, settings = 0, dict[str, Any]()
    for content in (content for file in files for content in _leveldb_records(file.read_bytes())):
        record = Record.FromString(content)
        if record.HasField("run"):
            values = {item.key: json.loads(item.value_json) for item in record.run.config.update}
            settings |= {"method_name": values["method_name"]}
            settings |= {f"schedule.{key}": value for key, value in values["schedule"].items()}
        row = {
            "/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item
        }
        pictures += any(name.endswith("/_type") for name in row)
        if row:
            numbers = {key: value for key, value in row.items() if isinstance(value, float)}
            figures.setdefault(row["step"], {}).update(numbers)
    return figures, pictures, settings


def _leveldb_records(content: bytes) -> Iterator[bytes]:
    """The records of a log in LevelDB's format, behind a header of seven bytes."""
    at, parts = 7, b""
    while at + 7 <= len(content):
        if (left := -at % 32768) and left < 7:  # a block's end that holds no header is padding
            at += left
            continue
        _, size, kind = struct.unpack_from("<IHB", content, at)
        parts += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or its last part
            yield parts
            parts = b""


def in_trackio(folder: Path) -> tuple[Figures, int, dict[str, Any]]:
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    (run,) = trackio.Api().runs("lass3d-tiny")
    figures: Figures = {}
    pictures = 0
    for row in SQLiteStorage.get_logs("lass3d-tiny", NAME):
        pictures += sum(isinstance(value, dict) for value in row.values())
        numbers = {key: value for key, value in row.items() if isinstance(value, float)}
        figures.setdefault(row["step"], {}).update(numbers)
    return figures, pictures, run.config or {}


def in_mlflow(folder: Path) -> tuple[Figures, int, dict[str, Any]]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=(folder.parent.parent / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("lass3d-tiny")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED" and run.info.run_name == NAME
    figures: Figures = {}
    for name in run.data.metrics:
        for metric in client.get_metric_history(run.info.run_id, name):
            figures.setdefault(metric.step, {})[name] = metric.value
    images = {file.path.split("+timestamp")[0] for file in client.list_artifacts(run.info.run_id, "images")}
    return figures, len(images), run.data.params


READERS = {"wandb": in_wandb, "trackio": in_trackio, "mlflow": in_mlflow}

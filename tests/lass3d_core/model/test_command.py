from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lass3d_core
from lass3d_core.clouds.ply import read_ply
from lass3d_core.model.__main__ import main
from lass3d_core.model.page import MOST_PICTURES, MOST_VIEWED
from tests.lass3d_core.model.conftest import CARD


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def scan(tmp_path: Path, cloud: np.ndarray) -> Path:
    path = tmp_path / "scans" / "a.bin"
    path.parent.mkdir()
    cloud.tofile(path)
    return path


def test_a_file_gets_its_labels_a_cloud_and_a_page(
    model_path: Path, scan: Path, cloud: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(model_path, scan) == 0
    folder = scan.parent / "a-predicted"
    assert capsys.readouterr().out == f"wrote {folder / 'index.html'}\n"
    expected = lass3d_core.load(model_path).predict(cloud[:, :3], cloud[:, 3])
    raw = np.fromfile(folder / "a.label", np.uint32)
    assert np.array_equal(raw, np.array(CARD.raw_ids)[expected.labels])
    vertex = read_ply(folder / "a.ply")["vertex"]
    assert np.array_equal(vertex["label"], expected.labels)
    assert np.array_equal(vertex["red"], np.array(CARD.colours)[expected.labels][:, 0])
    page = (folder / "index.html").read_text()
    assert 'data-mode="confidence"' in page and "http" not in page


def test_a_folder_keeps_its_tree(model_path: Path, scan: Path, cloud: np.ndarray, tmp_path: Path) -> None:
    (scan.parent / "more").mkdir()
    np.save(scan.parent / "more" / "b.npy", cloud)
    (scan.parent / "notes.txt").write_text("no cloud")
    assert run(model_path, scan.parent, "--into", tmp_path / "out", "--no-ply") == 0
    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert written == ["a.label", "index.html", "more/b.label"]


def test_the_first_clouds_can_be_turned_the_next_have_pictures_and_the_table_has_all(
    model_path: Path, cloud: np.ndarray, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(MOST_PICTURES + 1):
        np.save(folder / f"{number:02d}.npy", cloud[:20])
    assert run(model_path, folder, "--into", tmp_path / "out", "--no-ply") == 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count('class="cloud">') == MOST_VIEWED
    assert page.count("data:image/png;base64,") == MOST_PICTURES - MOST_VIEWED
    assert page.count("<h2>") == MOST_PICTURES + 1 and page.count("<tr><td>") == MOST_PICTURES + 1


def test_a_scale_and_columns_are_taken(model_path: Path, tmp_path: Path, cloud: np.ndarray) -> None:
    rows = np.column_stack([cloud[:, :3], 100 * cloud[:, 3], np.arange(600)]).astype(np.float32)
    rows.tofile(tmp_path / "a.bin")
    scale = "--scale", "remission=100"
    assert run(model_path, tmp_path / "a.bin", "--columns", "x,y,z,intensity,_", *scale) == 0


BAD = {
    "no model": (["none.safetensors", "scans/a.bin"], "none.safetensors does not exist"),
    "a folder for a model": (["scans", "scans/a.bin"], "is a folder, not a model file"),
    "a scan for a model": (["scans/a.bin", "scans/a.bin"], "is no whole safetensors file"),
    "no input": (["MODEL", "nowhere"], "nowhere does not exist"),
    "no clouds": (["MODEL", "empty"], "holds no cloud"),
    "into itself": (["MODEL", "scans", "--into", "scans/out"], "lies inside"),
    "into the input": (["MODEL", "scans", "--into", "scans"], "lies inside"),
    "into a file": (["MODEL", "scans/a.bin", "--into", "scans/a.bin"], "is a file"),
    "over the input": (["MODEL", "scans/a.bin", "--into", "scans"], "holds a.bin itself"),
    "one name twice": (["MODEL", "twins"], "would be written to one file"),
    "empty cloud": (["MODEL", "empty.bin"], "is empty"),
    "NaN": (["MODEL", "nan.npy"], "nan.npy: points: 9 of 9 rows hold NaN"),
    "far": (["MODEL", "far.npy"], "is not finite or too far away for voxels"),
    "features missing": (["MODEL", "xyz.npy"], "xyz.npy has no column remission"),
    "another scale": (["MODEL", "255.npy"], "another scale; divide it by 255"),
    "wrong columns": (["MODEL", "scans/a.bin", "--columns", "x,y"], "must name x, y and z"),
    "columns that do not fit": (
        ["MODEL", "scans/a.bin", "--columns", "x,y,z,a,b,c,d"],
        "looks like rows of 4 float32, not like rows of 7 float32",
    ),
    "scale without a number": (["MODEL", "scans/a.bin", "--scale", "remission"], "is not of the form"),
    "scale of zero": (["MODEL", "scans/a.bin", "--scale", "remission=0"], "is not of the form"),
    "scale of nothing": (["MODEL", "scans/a.bin", "--scale", "ring=2"], "the model's features are"),
    "no passes": (["MODEL", "scans/a.bin", "--tta", "0"], "must be at least 1"),
    "no such device": (["MODEL", "scans/a.bin", "--device", "tpu9"], "cannot be used"),
    "another suffix": (["MODEL", "cloud.xyz"], "the suffix '.xyz'"),
    "text": (["MODEL", "text.pcd"], "has no line DATA"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_loses_nothing(
    case: str,
    model_path: Path,
    scan: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("empty.bin").write_bytes(b"")
    Path("cloud.xyz").write_text("1 2 3")
    Path("text.pcd").write_text("hello")
    Path("twins").mkdir()
    for name in ("a.npy", "a.bin"):
        (Path("twins") / name).write_bytes(scan.read_bytes())
    np.save("nan.npy", np.full((9, 4), np.nan))
    np.save("far.npy", np.full((9, 4), 1e30) * [1, 1, 1, 0])
    np.save("xyz.npy", np.zeros((9, 3)))
    np.save("255.npy", np.linspace(0, 255, 40).reshape(10, 4))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    arguments, expected = BAD[case]
    assert run(*[model_path if word == "MODEL" else word for word in arguments]) == 2
    said = capsys.readouterr()
    assert expected in said.err and said.err.startswith("error: ") and said.out == ""
    assert "Traceback" not in said.err and said.err.count("\n") == 1
    assert before == {path: path.read_bytes() for path in before}

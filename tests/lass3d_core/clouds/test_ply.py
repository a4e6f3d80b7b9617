from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lass3d_core.clouds.ply import read_ply, write_ply
from lass3d_core.errors import DataError

POINTS = np.array([[0.5, -1.25, 3], [1e-3, 2, -7.5]], np.float32)
COLOURS = np.array([[255, 0, 7], [1, 2, 3]], np.uint8)

HEADER = "ply\nformat {} 1.0\ncomment made by hand\n"
XYZ = "property float x\nproperty float y\nproperty double z\n"
FACES = "element face 2\nproperty list uchar int vertex_indices\n"

everywhere = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def refusal(path: Path) -> str:
    """The one line that a wrong file gives."""
    with pytest.raises(DataError) as caught:
        read_ply(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def test_what_was_written_is_read(tmp_path: Path) -> None:
    label = np.array([3, 255], np.uint8)
    share = np.array([0.25, -1.5])
    write_ply(tmp_path / "a.ply", POINTS, COLOURS, {"label": label, "share": share})
    vertex = read_ply(tmp_path / "a.ply")["vertex"]
    assert vertex.dtype.names == ("x", "y", "z", "red", "green", "blue", "label", "share")
    assert np.array_equal(np.stack([vertex[name] for name in "xyz"], axis=1), POINTS)
    assert np.array_equal(np.stack([vertex[name] for name in ("red", "green", "blue")], axis=1), COLOURS)
    assert vertex["label"].tolist() == [3, 255] and vertex["share"].tolist() == [0.25, -1.5]


def test_the_file_has_the_header_that_viewers_know(tmp_path: Path) -> None:
    write_ply(
        tmp_path / "a.ply", POINTS, COLOURS, {"entity": np.array([-1, 4], np.int32)}, ["scan 00/000001"]
    )
    header, _, rows = (tmp_path / "a.ply").read_bytes().partition(b"end_header\n")
    assert header.decode().splitlines() == [
        "ply",
        "format binary_little_endian 1.0",
        "comment scan 00/000001",
        "element vertex 2",
        "property float x",
        "property float y",
        "property float z",
        "property uchar red",
        "property uchar green",
        "property uchar blue",
        "property int entity",
    ]
    assert len(rows) == 2 * (12 + 3 + 4) and rows[:12] == POINTS[0].astype("<f4").tobytes()


def test_a_cloud_without_points_is_a_file(tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", POINTS[:0], COLOURS[:0])
    assert len(read_ply(tmp_path / "a.ply")["vertex"]) == 0


def test_a_column_that_ply_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="i8"):
        write_ply(tmp_path / "a.ply", POINTS, COLOURS, {"label": np.zeros(2, np.int64)})
    with pytest.raises(ValueError, match="label has shape"):
        write_ply(tmp_path / "a.ply", POINTS, COLOURS, {"label": np.zeros(3, np.uint8)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "order"), [("binary_little_endian", "<"), ("binary_big_endian", ">"), ("ascii", "")]
)
def test_every_format_gives_the_same_vertices(tmp_path: Path, name: str, order: str) -> None:
    header = (
        HEADER.format(name) + "element vertex 2\n" + XYZ + "property short label\n" + FACES + "end_header\n"
    )
    rows = [(0.5, -1.0, 1e-9, -3), (2.0, 4.0, 8.0, 39)]
    if order:
        body = np.array(
            rows, [("x", order + "f4"), ("y", order + "f4"), ("z", order + "f8"), ("label", order + "i2")]
        )
        content = body.tobytes() + b"\x03" + np.arange(3, dtype=order + "i4").tobytes() + b"\x00"
    else:
        content = b"0.5 -1.0 1e-9 -3\n2 4 8 39\n3 0 1 2\n0\n"
    found = read_ply(written(tmp_path / "a.ply", header.encode() + content))
    assert list(found) == ["vertex"]
    assert [tuple(row) for row in found["vertex"].tolist()] == rows


def test_header_lines_may_end_as_on_windows(tmp_path: Path) -> None:
    header = HEADER.format("ascii") + "element vertex 1\nproperty uchar label\nend_header\n"
    found = read_ply(written(tmp_path / "a.ply", header.replace("\n", "\r\n").encode() + b"7\r\n"))
    assert found["vertex"]["label"].tolist() == [7]


@pytest.mark.parametrize("name", ["binary_little_endian", "ascii"])
def test_vertices_behind_the_faces_are_found(tmp_path: Path, name: str) -> None:
    header = (
        HEADER.format(name)
        + FACES
        + "property uchar flag\nelement vertex 1\nproperty uchar label\nend_header\n"
    )
    faces = b"\x02" + np.arange(2, dtype="<i4").tobytes() + b"\x01" + b"\x00\x05"
    content = faces + b"\x07" if name != "ascii" else b"2 0 1 1\n0 5\n7\n"
    found = read_ply(written(tmp_path / "a.ply", header.encode() + content))
    assert list(found) == ["vertex"] and found["vertex"]["label"].tolist() == [7]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "line 1: expected 'ply'"),
        (b"plx\nend_header\n", "line 1: expected 'ply'"),
        (b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\n", "line 5: early end-of-file"),
        (b"ply\nformat morse 1.0\nend_header\n", "line 2: don't understand format 'morse'"),
        (b"ply\nelement vertex 1\nend_header\n", "line 2: expected one of {format"),
        (b"ply\nformat ascii 1.0\nelement vertex 1\nend_header\n", "element 'vertex'"),
        (b"ply\nformat ascii 1.0\nelement vertex -1\nproperty float x\nend_header\n", "negative dimensions"),
        (b"ply\nformat ascii 1.0\nproperty float x\nend_header\n", "line 3: expected one of {element"),
        (b"ply\nformat ascii 1.0\nelement vertex 1\nproperty half x\nend_header\n", "type 'half'"),
        (
            b"ply\nformat ascii 1.0\nelement v 1\nproperty int x\nproperty int x\nend_header\n",
            "two properties with same name",
        ),
        (b"ply\nformat ascii 1.0\nelement v 1\nproperty list float int x\nend_header\n", "element 'v'"),
        (b"ply\nformat ascii 1.0\nelement v 1\nproperty uchar x\nend_header\n300\n", "300 out of bounds"),
        (
            b"ply\nformat ascii 1.0\nelement v 1\nproperty uchar x\nend_header\nnan\n",
            "row 0: property 'x': malformed",
        ),
        (
            b"ply\nformat ascii 1.0\nelement v 1\nproperty uchar x\nend_header\nred\n",
            "row 0: property 'x': malformed",
        ),
        (
            b"ply\nformat ascii 1.0\nelement v 2\nproperty float x\nend_header\n1\n",
            "row 1: early end-of-file",
        ),
        (b"ply\nformat ascii 1.0\nelement v 1\nproperty float x\nend_header\n1 2\n", "expected end-of-line"),
    ],
)
def test_a_malformed_file_is_named_in_one_line(tmp_path: Path, body: bytes, reason: str) -> None:
    assert reason in refusal(written(tmp_path / "a.ply", body))


def test_a_file_that_is_cut_off_is_refused_however_many_rows_it_claims(tmp_path: Path) -> None:
    write_ply(tmp_path / "a.ply", POINTS, COLOURS)
    content = (tmp_path / "a.ply").read_bytes()
    assert "'vertex': row 1: early end-of-file" in refusal(written(tmp_path / "b.ply", content[:-1]))
    many = content.replace(b"vertex 2", b"vertex 99999999999999999999")
    assert "cannot fit" in refusal(written(tmp_path / "b.ply", many))


def test_faces_that_claim_too_many_corners_are_refused(tmp_path: Path) -> None:
    header = HEADER.format("binary_little_endian") + FACES.replace("uchar", "uint")
    header += "element vertex 1\nproperty uchar label\nend_header\n"
    assert "'face': row 0" in refusal(written(tmp_path / "a.ply", header.encode() + b"\xff\xff\xff\xff" * 4))


@pytest.mark.parametrize("corners", [3, 4])
def test_faces_of_a_mesh_are_skipped(tmp_path: Path, corners: int) -> None:
    """Triangles and other faces, which plyfile reads in two ways, behind the vertices."""
    header = HEADER.format("binary_little_endian") + "element vertex 2\nproperty uchar label\n" + FACES
    faces = b"".join(bytes([one]) + bytes(4 * one) for one in (3, corners))
    found = read_ply(written(tmp_path / "a.ply", (header + "end_header\n").encode() + b"\x05\x07" + faces))
    assert list(found) == ["vertex"] and found["vertex"]["label"].tolist() == [5, 7]


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.ply")
    assert "cannot be read" in refusal(tmp_path)


@everywhere
@given(st.data())
def test_any_cloud_survives_the_round_trip(tmp_path: Path, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    count = data.draw(st.integers(0, 20))
    points = (rng.normal(size=(count, 3)) * 10.0 ** rng.integers(-5, 6)).astype(np.float32)
    colours = rng.integers(0, 256, (count, 3), np.uint8)
    kind = data.draw(st.sampled_from(["i1", "u1", "<i2", ">u2", "<i4", ">u4", "<f4", ">f8"]))
    scalar = rng.integers(0, 100, count).astype(kind)
    write_ply(tmp_path / "a.ply", points, colours, {"scalar": scalar})
    vertex = read_ply(tmp_path / "a.ply")["vertex"]
    assert np.array_equal(np.stack([vertex[name] for name in "xyz"], axis=1), points)
    assert np.array_equal(np.stack([vertex[name] for name in ("red", "green", "blue")], axis=1), colours)
    assert np.array_equal(vertex["scalar"], scalar)


@everywhere
@given(st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["binary_little_endian", "binary_big_endian", "ascii"]))
    header = HEADER.format(name) + FACES + "element vertex 2\n" + XYZ + "end_header\n"
    content = bytearray(header.encode() + b"3 0 1 2\n1 0\n1 2 3\n4 5 6\n" + bytes(range(40)))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = written(tmp_path / "a.ply", bytes(content[: data.draw(st.integers(0, len(content)))]))
    try:
        read_ply(path)
    except DataError as error:
        assert "\n" not in str(error)

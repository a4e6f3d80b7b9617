from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import laspy
import numpy as np
import pytest

from lass3d_core.clouds import read_cloud
from lass3d_core.clouds.pcd import _unpack_lzf
from lass3d_core.clouds.ply import write_ply
from lass3d_core.errors import DataError


@pytest.fixture
def scan() -> np.ndarray:
    """(400,4) float32: x, y, z, intensity, as a sensor writes them while it turns."""
    rng = np.random.default_rng(0)
    angle = np.linspace(0, 2 * np.pi, 400)
    xyz = np.stack([9 * np.cos(angle), 7 * np.sin(angle), np.sin(3 * angle)], axis=1)
    return np.column_stack([xyz + rng.normal(scale=0.01, size=(400, 3)), rng.uniform(0, 1, 400)]).astype("f4")


def packed(content: bytes) -> bytes:
    """LZF of literals alone, as a compressor that finds nothing to repeat would write it."""
    parts = [content[start : start + 32] for start in range(0, len(content), 32)]
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


def pcd_header(kind: str, count: int, fields: str = "x y z intensity") -> bytes:
    width = len(fields.split())
    lines = [
        "# .PCD v0.7",
        "VERSION 0.7",
        f"FIELDS {fields}",
        "SIZE" + " 4" * width,
        "TYPE" + " F" * width,
        "COUNT" + " 1" * width,
        f"WIDTH {count}",
        "HEIGHT 1",
        f"POINTS {count}",
        f"DATA {kind}",
    ]
    return "\n".join(lines).encode() + b"\n"


def write_pcd(path: Path, scan: np.ndarray, kind: str) -> None:
    if kind == "ascii":
        body = "\n".join(" ".join(f"{value:.9g}" for value in row) for row in scan.tolist()).encode()
    elif kind == "binary":
        body = scan.tobytes()
    else:
        columns = packed(np.ascontiguousarray(scan.T).tobytes())
        body = struct.pack("<II", len(columns), scan.nbytes) + columns
    path.write_bytes(pcd_header(kind, len(scan)) + body)


def write_las(path: Path, scan: np.ndarray) -> None:
    header = laspy.LasHeader(point_format=0, version="1.2")
    header.scales = [1e-7] * 3
    cloud = laspy.LasData(header)
    cloud.x, cloud.y, cloud.z = scan[:, :3].astype(np.float64).T
    cloud.intensity = np.rint(scan[:, 3] * 65535).astype(np.uint16)
    cloud.write(str(path))


WRITERS: dict[str, Callable[[Path, np.ndarray], None]] = {
    "scan.bin": lambda path, scan: scan.tofile(path),
    "scan.npy": lambda path, scan: np.save(path, scan),
    "scan.ply": lambda path, scan: write_ply(
        path, scan[:, :3], np.zeros((len(scan), 3), np.uint8), {"intensity": scan[:, 3]}
    ),
    "ascii.pcd": lambda path, scan: write_pcd(path, scan, "ascii"),
    "binary.pcd": lambda path, scan: write_pcd(path, scan, "binary"),
    "compressed.pcd": lambda path, scan: write_pcd(path, scan, "binary_compressed"),
    "scan.las": write_las,
    "scan.laz": write_las,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_points_back(tmp_path: Path, scan: np.ndarray, name: str) -> None:
    WRITERS[name](tmp_path / name, scan)
    cloud = read_cloud(tmp_path / name)
    # LAS holds multiples of its scale, here a tenth of a micrometre.
    assert np.allclose(cloud.points, scan[:, :3], rtol=0, atol=6e-8 if "la" in name else 0)
    intensity = cloud.columns["intensity"].astype(np.float64)
    assert np.allclose(intensity / (65535 if "la" in name else 1), scan[:, 3], atol=1e-5)


@pytest.mark.parametrize("width", [3, 4, 5])
def test_the_columns_of_a_headerless_file_are_recognised(
    tmp_path: Path, scan: np.ndarray, width: int
) -> None:
    ring = (np.arange(len(scan)) % 32).astype(np.float32)
    rows = np.column_stack([scan, ring])[:, :width].astype(np.float32)
    rows.tofile(tmp_path / "scan.bin")
    cloud = read_cloud(tmp_path / "scan.bin")
    assert np.array_equal(cloud.points, rows[:, :3])
    assert list(cloud.columns) == ["intensity", "ring"][: width - 3]


def test_the_order_of_the_points_does_not_matter(tmp_path: Path, scan: np.ndarray) -> None:
    shuffled = np.random.default_rng(0).permutation(scan)
    shuffled.tofile(tmp_path / "scan.bin")
    assert np.array_equal(read_cloud(tmp_path / "scan.bin").points, shuffled[:, :3])


@pytest.mark.parametrize("rows", [(400, 4), (20, 4), (300, 7)])
def test_a_headerless_file_whose_columns_do_not_show_is_asked_about(
    tmp_path: Path, rows: tuple[int, int]
) -> None:
    values = np.random.default_rng(0).normal(size=rows).astype(np.float32)
    values *= np.arange(rows[1]) + 1 if rows[1] == 7 else 1
    values.tofile(tmp_path / "scan.bin")
    with pytest.raises(DataError, match="not clearly rows of 3, 4 or 5 float32; name its columns: COLUMNS="):
        read_cloud(tmp_path / "scan.bin")
    names = ["x", "y", "z", "a", "b", "c", "d"][: rows[1]]
    assert np.array_equal(read_cloud(tmp_path / "scan.bin", names).points, values[:, :3])


def test_named_columns_may_stand_in_any_order_and_be_left_out(tmp_path: Path) -> None:
    np.save(tmp_path / "scan.npy", np.arange(12.0).reshape(2, 6))
    cloud = read_cloud(tmp_path / "scan.npy", ["time", "z", "y", "x", "_", "i"])
    assert cloud.points.tolist() == [[3, 2, 1], [9, 8, 7]]
    assert {name: column.tolist() for name, column in cloud.columns.items()} == {"time": [0, 6], "i": [5, 11]}


def test_a_repetition_in_compressed_data_may_overlap_itself() -> None:
    # "a", then 9 bytes from 1 byte back (length 7 + 0 + 2), then "bc".
    assert _unpack_lzf(bytes([0, ord("a"), 7 << 5, 0, 0, 1]) + b"bc", 12) == b"a" * 10 + b"bc"


def wrong_files(scan: np.ndarray) -> dict[str, tuple[bytes, list[str] | None, str]]:
    """Name -> content, COLUMNS, and what must be said."""
    header = pcd_header("binary", len(scan))
    las = b"LASF" + bytes(300)
    return {
        "empty.bin": (b"", None, "is empty"),
        "odd.bin": (scan.tobytes()[:-1], None, "no whole number of float32"),
        "nan.bin": (np.full((100, 4), np.nan, "f4").tobytes(), None, "name its columns"),
        "other.bin": (
            np.tile(np.array([9, 7, 1, 0.1], "f4"), (300, 1)).tobytes(),
            ["x", "y", "z"],
            "looks like rows of 4 float32, not like rows of 3",
        ),
        "rows.bin": (scan.tobytes()[:-4], ["x", "y", "z", "i"], "no whole number of rows of 4 columns"),
        "double.bin": (scan.tobytes(), ["x", "y", "z", "x"], "an empty or a double name"),
        "noz.bin": (scan.tobytes(), ["x", "y", "i", "r"], "must name x, y and z"),
        "text.npy": (b"not numpy", None, "is no whole .npy file"),
        "header.ply": (b"ply\nformat", None, "header.ply"),
        "named.ply": (b"ply\n", ["x", "y", "z"], "names its columns itself"),
        "text.pcd": (b"hello", None, "has no line DATA"),
        "fields.pcd": (header.replace(b"FIELDS", b"FELDER"), None, "its header lacks 'FIELDS'"),
        "short.pcd": (header + scan.tobytes()[:-8], None, "its header promises 6400"),
        "kind.pcd": (header.replace(b"DATA binary", b"DATA zip"), None, "DATA zip is unknown"),
        "noxyz.pcd": (
            pcd_header("ascii", 1, "a b c") + b"1 2 3\n",
            None,
            r"has no column x, y, z \(it has a, b, c\)",
        ),
        "head.las": (las, None, "is no whole LAS file"),
        "cloud.xyz": (b"1 2 3", None, "the suffix '.xyz' is none of"),
    }


@pytest.mark.parametrize("name", wrong_files(np.zeros((400, 4), np.float32)))
def test_a_wrong_file_is_one_line(tmp_path: Path, scan: np.ndarray, name: str) -> None:
    content, columns, expected = wrong_files(scan)[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=expected) as caught:
        read_cloud(tmp_path / name, columns)
    assert "\n" not in str(caught.value) and name in str(caught.value)


def test_an_array_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "scan.npy", np.array([{"x": 1}], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"no whole \.npy file"):
        read_cloud(tmp_path / "scan.npy")


@pytest.mark.parametrize(("shape", "expected"), [((4,), "of shape"), ((4, 7), "has 7 columns; name them")])
def test_an_array_of_another_shape_is_one_line(tmp_path: Path, shape: tuple[int, ...], expected: str) -> None:
    np.save(tmp_path / "scan.npy", np.zeros(shape))
    with pytest.raises(DataError, match=expected):
        read_cloud(tmp_path / "scan.npy")


def test_a_truncated_las_file_is_one_line(tmp_path: Path, scan: np.ndarray) -> None:
    write_las(tmp_path / "scan.las", scan)
    content = (tmp_path / "scan.las").read_bytes()
    (tmp_path / "scan.las").write_bytes(content[:-1000])
    with pytest.raises(DataError, match=r"scan\.las is cut short: \d+ of 400 points"):
        read_cloud(tmp_path / "scan.las")


def test_real_scans_of_4_and_5_columns_are_told_apart(samples: Path) -> None:
    kitti = read_cloud(samples / "kitti" / "velodyne_000008.bin")
    nuscenes = read_cloud(samples / "nuscenes" / "LIDAR_TOP.bin")
    assert (kitti.points.shape, list(kitti.columns)) == ((17_238, 3), ["intensity"])
    assert (nuscenes.points.shape, list(nuscenes.columns)) == ((34_688, 3), ["intensity", "ring"])
    assert nuscenes.columns["ring"].max() == 31

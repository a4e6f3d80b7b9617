from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lass3d_core.errors import DataError
from lass3d_core.files.images import image_size, read_depth, read_image, read_part
from lass3d_core.records import Camera, DepthImage, FilePart

SIZE = (3, 4)
COUNTS = np.arange(12, dtype=np.uint16).reshape(SIZE) * 700
RGB = np.arange(36, dtype=np.uint8).reshape(*SIZE, 3)


def encoded(array: np.ndarray, form: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(array).save(content, form)
    return content.getvalue()


def part(path: Path, content: bytes, before: bytes = b"", behind: bytes = b"") -> FilePart:
    """The content as a whole file, or as a stretch of one."""
    path.write_bytes(before + content + behind)
    return FilePart(path, len(before), len(content)) if before or behind else FilePart(path)


def depth_image(
    where: FilePart, codec: Literal["image", "zlib_u16", "raw_u16"] = "image", units_per_m: float = 1000.0
) -> DepthImage:
    K = np.array([[4.0, 0, 2], [0, 4, 1.5], [0, 0, 1]])
    return DepthImage(where, Camera(K, np.eye(4), SIZE), codec, units_per_m)


def test_an_image_is_rgb_looked_up_by_row_and_column(tmp_path: Path) -> None:
    image = read_image(part(tmp_path / "a.png", encoded(RGB)))
    assert image.shape == (3, 4, 3) and image[2, 1].tolist() == RGB[2, 1].tolist()


def test_a_grey_image_becomes_rgb(tmp_path: Path) -> None:
    image = read_image(part(tmp_path / "a.png", encoded(RGB[..., 0])))
    assert image.dtype == np.uint8 and image[1, 2].tolist() == [RGB[1, 2, 0]] * 3


def test_a_stretch_of_a_container_is_read_like_a_file(tmp_path: Path) -> None:
    where = part(tmp_path / "a.sens", encoded(RGB), b"header", b"next frame")
    assert np.array_equal(read_image(where), RGB) and image_size(where) == SIZE
    assert read_part(where) == encoded(RGB)


def test_the_size_is_height_and_width(tmp_path: Path) -> None:
    assert image_size(part(tmp_path / "a.png", encoded(RGB))) == (3, 4)


@pytest.mark.parametrize("codec", ["image", "zlib_u16", "raw_u16"])
def test_depth_is_metres_in_every_codec(
    tmp_path: Path, codec: Literal["image", "zlib_u16", "raw_u16"]
) -> None:
    raw = COUNTS.astype("<u2").tobytes()
    content = {"image": encoded(COUNTS), "zlib_u16": zlib.compress(raw), "raw_u16": raw}[codec]
    where = part(tmp_path / "depth", content, b"colour" if codec != "image" else b"")
    depth = read_depth(depth_image(where, codec))
    assert depth.dtype == np.float32 and depth[0, 0] == 0
    assert depth[2, 3] == pytest.approx(7.7) and depth[1, 0] == pytest.approx(2.8)
    assert read_depth(depth_image(where, codec, 500.0))[1, 0] == pytest.approx(5.6)


def test_depth_of_another_size_than_its_camera_is_refused(tmp_path: Path) -> None:
    where = part(tmp_path / "depth.png", encoded(COUNTS[:, :2]))
    with pytest.raises(DataError, match=r"depth.png is \(3, 2\), its camera \(3, 4\)"):
        read_depth(depth_image(where))


@pytest.mark.parametrize("array", [RGB[..., 0], COUNTS.astype(np.float32)])
def test_depth_that_is_no_count_of_16_bits_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    where = part(tmp_path / "depth", encoded(array, "TIFF"))
    with pytest.raises(DataError, match="not 16-bit counts"):
        read_depth(depth_image(where))


@pytest.mark.parametrize(
    ("content", "codec"),
    [
        (b"no image", "image"),
        (b"no stream", "zlib_u16"),
        (zlib.compress(bytes(22)), "zlib_u16"),
        (zlib.compress(bytes(10**6)), "zlib_u16"),
        (zlib.compress(COUNTS.tobytes())[:-2], "zlib_u16"),
        (bytes(22), "raw_u16"),
        (bytes(26), "raw_u16"),
    ],
)
def test_damaged_depth_is_refused(
    tmp_path: Path, content: bytes, codec: Literal["image", "zlib_u16"]
) -> None:
    where = part(tmp_path / "depth", content)
    with pytest.raises(DataError, match="depth cannot be read as a depth image") as caught:
        read_depth(depth_image(where, codec))
    assert "\n" not in str(caught.value)


def test_a_stretch_behind_the_end_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.sens").write_bytes(b"12345")
    with pytest.raises(DataError, match=r"a.sens \(bytes 3 to 9\) ends early"):
        read_part(FilePart(tmp_path / "a.sens", 3, 6))


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    for read in (read_image, image_size, read_part):
        with pytest.raises(DataError, match=r"none.png.* does not exist"):
            read(FilePart(tmp_path / "none.png"))
        with pytest.raises(DataError, match=str(tmp_path)):
            read(FilePart(tmp_path))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_image_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(encoded(RGB, data.draw(st.sampled_from(["PNG", "JPEG"]))))
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    where = part(tmp_path / "a", bytes(content[: data.draw(st.integers(0, len(content)))]))
    for read in (read_image, image_size):
        try:
            read(where)
        except DataError as error:
            assert "\n" not in str(error)

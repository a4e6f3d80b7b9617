"""The .sens parser: what a frame's parts are, and that no damage gives anything but one clear line."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lass3d_core.datasets.scannet.rgbd import view_of
from lass3d_core.datasets.scannet.sens import read_sens
from lass3d_core.errors import DataError
from lass3d_core.files.images import read_depth, read_image, read_part
from tests.lass3d_core.datasets.scannet_files import COLOUR_K, DEPTH_K, Frame, room_frames, sens_bytes

FRAMES = room_frames(4, lost=(1,))
NAME = struct.Struct("<IQ").size
COMPRESSIONS = NAME + len(b"StructureSensor") + 4 * 64
"""Where the two compression types stand."""
FIRST_FRAME = COMPRESSIONS + 8 + 16 + 4 + 8


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def refusal(path: Path, content: bytes) -> str:
    """The one line that a wrong file gives."""
    with pytest.raises(DataError) as caught:
        read_sens(written(path, content))
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def test_a_frame_is_its_pose_and_two_stretches_of_the_file(tmp_path: Path) -> None:
    sequence = read_sens(written(tmp_path / "a.sens", sens_bytes(FRAMES)))
    assert [frame.number for frame in sequence.frames] == [0, 2, 3] and sequence.skipped == 1
    frame = sequence.frames[1]
    assert np.array_equal(frame.world_from_base, FRAMES[2].pose)
    assert read_part(frame.colour) == FRAMES[2].colour
    view = view_of(sequence, frame, "a/000002")
    assert view.depth is not None and np.array_equal(
        read_depth(view.depth), FRAMES[2].depth / np.float32(1000)
    )
    assert read_image(view.image).shape == (48, 64, 3)


def test_the_header_holds_both_cameras(tmp_path: Path) -> None:
    sequence = read_sens(written(tmp_path / "a.sens", sens_bytes(FRAMES)))
    assert sequence.depth is not None
    assert np.allclose(sequence.colour.K, COLOUR_K) and np.allclose(sequence.depth.K, DEPTH_K)
    assert sequence.colour.size_hw == (48, 64) and sequence.depth.size_hw == (24, 32)
    assert sequence.units_per_m == 1000 and sequence.depth_codec == "zlib_u16"


def test_every_stride_th_frame_is_kept_and_only_its_pose_counts_as_lost(tmp_path: Path) -> None:
    path = written(tmp_path / "a.sens", sens_bytes(FRAMES))
    sequence = read_sens(path, stride=2)
    assert [frame.number for frame in sequence.frames] == [0, 2] and sequence.skipped == 0


def test_depth_may_be_stored_plain(tmp_path: Path) -> None:
    sequence = read_sens(written(tmp_path / "a.sens", sens_bytes(FRAMES, depth_kind=0)))
    view = view_of(sequence, sequence.frames[0], "a/000000")
    assert view.depth is not None and view.depth.codec == "raw_u16"
    assert np.array_equal(read_depth(view.depth), FRAMES[0].depth / np.float32(1000))


def test_a_file_without_frames_is_an_empty_sequence(tmp_path: Path) -> None:
    assert read_sens(written(tmp_path / "a.sens", sens_bytes([]))).frames == ()


@pytest.mark.parametrize(
    ("colour_kind", "depth_kind", "reason"),
    [
        (0, 1, "the colour frames are stored as 'raw' (compression 0)"),
        (-1, 1, "the colour frames are stored as 'unknown' (compression -1)"),
        (7, 1, "the colour frames are stored as 'unknown' (compression 7)"),
        (2, 2, "the depth frames are stored as 'occi_ushort' (compression 2)"),
        (2, -1, "the depth frames are stored as 'unknown' (compression -1)"),
    ],
)
def test_a_compression_that_is_not_read_is_named(
    tmp_path: Path, colour_kind: int, depth_kind: int, reason: str
) -> None:
    message = refusal(tmp_path / "a.sens", sens_bytes(FRAMES, colour_kind, depth_kind))
    assert reason in message and "SensReader" in message


def test_another_version_is_refused(tmp_path: Path) -> None:
    assert "version 4 (it says 3)" in refusal(tmp_path / "a.sens", sens_bytes(FRAMES, version=3))


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (4, struct.pack("<Q", 1 << 60), "name has 1152921504606846976 letters"),
        (COMPRESSIONS + 8, struct.pack("<I", 0), "its images are 0 x 48 and 32 x 24 pixels"),
        (COMPRESSIONS + 20, struct.pack("<I", 1 << 31), "and 32 x 2147483648 pixels"),
        (COMPRESSIONS + 24, struct.pack("<f", 0), "its depth shift is 0"),
        (COMPRESSIONS + 24, struct.pack("<f", np.nan), "its depth shift is nan"),
        (COMPRESSIONS + 28, struct.pack("<Q", 1 << 60), "ends inside frame"),
        (COMPRESSIONS - 256, struct.pack("<f", np.inf), "no intrinsics of a pinhole camera"),
        (COMPRESSIONS - 192, struct.pack("<f", 0), "the extrinsics beside it are not a rigid transform"),
        (FIRST_FRAME, struct.pack("<f", 9), "frame 0 of 4: the pose is not a rigid transform"),
        (FIRST_FRAME + 80, struct.pack("<Q", 1 << 63), "ends inside frame 0 of 4"),
        (FIRST_FRAME + 80, struct.pack("<Q", 0), "frame"),
    ],
)
def test_a_damaged_header_is_named(tmp_path: Path, at: int, value: bytes, reason: str) -> None:
    content = sens_bytes(FRAMES)
    assert reason in refusal(tmp_path / "a.sens", content[:at] + value + content[at + len(value) :])


def test_a_frame_without_colour_or_depth_is_refused(tmp_path: Path) -> None:
    frames = [FRAMES[0], Frame(FRAMES[2].pose, b"", FRAMES[2].depth)]
    assert "frame 1 of 2 lacks its colour or depth" in refusal(tmp_path / "a.sens", sens_bytes(frames))


def test_a_file_that_is_cut_off_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    content = sens_bytes(FRAMES)
    whole = len(content) - 8  # the frames of the inertial sensor are not read
    read_sens(written(tmp_path / "a.sens", content[:whole]))
    for end in [*range(0, FIRST_FRAME + 100, 7), whole // 2, whole - 1]:
        assert "ends inside" in refusal(tmp_path / "a.sens", content[:end])


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.sens does not exist"):
        read_sens(tmp_path / "none.sens")
    with pytest.raises(DataError, match="cannot be read"):
        read_sens(tmp_path)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_damage_is_read_or_named_in_one_line(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(sens_bytes(FRAMES))
    heads = st.one_of(st.integers(0, FIRST_FRAME + 96), st.integers(0, len(content) - 1))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(heads)] = data.draw(st.sampled_from([0, 1, 2, 127, 128, 255]))
    path = written(tmp_path / "a.sens", bytes(content[: data.draw(st.integers(0, len(content)))]))
    try:
        sequence = read_sens(path, stride=data.draw(st.integers(1, 3)))
        for frame in sequence.frames:
            view = view_of(sequence, frame, "a/0")
            assert view.depth is not None
            read_image(view.image)
            read_depth(view.depth)
    except DataError as error:
        assert "\n" not in str(error)

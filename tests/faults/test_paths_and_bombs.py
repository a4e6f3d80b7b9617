"""What a stranger's files must not do: lead out of a folder, delete, fill the memory, write markup."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from pathlib import Path

import pytest
import yaml

from benchmarks.fault_injection.project import RUN_FOLDER, TARGETS, TinyProject
from lass3d_core.errors import CorruptArtifact, DataError
from lass3d_core.files.checked_json import read_json, write_json
from lass3d_core.files.images import image_size, read_depth, read_image
from lass3d_core.files.shards import ShardReader, write_shard
from lass3d_core.records import Camera, DepthImage, FilePart
from preprocess.simulation.tree import settle

TARGET = {target.name: target for target in TARGETS}


def refusal(project: TinyProject, command: tuple[str, ...]) -> str:
    ended = project.run(command, memory_bytes=1 << 30)
    assert ended.status == 2, ended.errors
    (line,) = ended.error_lines
    return line


ELSEWHERE = ("../elsewhere", "/etc", "..", "a/../../b", ".hidden", "a\\b", "")


@pytest.mark.parametrize("name", ELSEWHERE)
@pytest.mark.parametrize("key", ["datasets", "splits", "views", "version"])
def test_no_name_in_a_manifest_leads_elsewhere(project: TinyProject, key: str, name: str) -> None:
    manifest = yaml.safe_load(project.manifest.read_text())
    street = manifest["datasets"]["street"]
    match key:
        case "datasets":
            manifest["datasets"][name] = street
        case "splits":
            street["splits"]["train"] = [name]
            del street["simulate"]
        case "views":
            street["views"] = [name]
        case "version":
            street["version"] = name
    project.manifest.write_text(yaml.safe_dump(manifest))
    before = {path for path in project.folder.parent.rglob("*") if path.name != ".lock"}
    command = TARGET["pairs" if key == "views" else "image_captions"].command
    assert refusal(project, command).startswith("error: ")
    assert {path for path in project.folder.parent.rglob("*") if path.name != ".lock"} <= before


def test_a_stranger_cannot_have_folders_deleted(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "world").mkdir()
    record = tmp_path / "world" / "street.json"
    record.write_text(
        json.dumps({"generator": 0, "sequences": ["../../precious", str(tmp_path / "precious")]})
    )
    with pytest.raises(DataError, match=r"street\.json is damaged"):
        settle(record, tmp_path / "world" / "sequences", ["00"], {"generator": 1})
    assert (tmp_path / "precious").is_dir()


@pytest.mark.parametrize("scan_id", ["../../x/y", "/tmp/x", "00/../../x", "00//x"])
def test_a_shard_cannot_name_its_scans_by_paths_that_lead_elsewhere(
    finished: TinyProject, tmp_path: Path, scan_id: str
) -> None:
    """Scan ids become names of exported files."""
    from dataclasses import replace

    reader = ShardReader(finished.folder / "artifacts/street/pairs/01-000.h5")
    (scan,) = reader.scans()
    with pytest.raises(CorruptArtifact, match="is no name of a scan"):
        write_shard(tmp_path / "shard.h5", reader.header, [replace(scan, scan_id=scan_id)])
    reader.close()


def test_an_index_cannot_name_shards_elsewhere(project: TinyProject) -> None:
    path = project.folder / "artifacts/street/pairs/index.json"
    values = read_json(path)
    values["shards"][0]["file"] = "../../../elsewhere.h5"
    write_json(path, values)
    shutil.rmtree(project.folder / RUN_FOLDER)
    assert "no file beside the index" in refusal(project, TARGET["training"].command)


def test_markup_in_a_caption_stays_text(project: TinyProject) -> None:
    wicked = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    for shard in (project.folder / "artifacts/street/image_captions").glob("*.jsonl"):
        lines = shard.read_text().splitlines()
        lines[1:-1] = [json.dumps({**json.loads(line), "text": wicked}) for line in lines[1:-1]]
        shard.write_text("\n".join(lines) + "\n")
    ended = project.run(("train", "report", *TARGET["training"].command[2:]))
    assert ended.status == 0, ended.errors
    page = next((project.folder / RUN_FOLDER).glob("*.html")).read_text()
    assert "alert(1)" in page
    assert wicked not in page and "<script>alert" not in page and "<img src=x" not in page


def png(width: int, height: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_an_image_of_too_many_pixels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(100_000, 100_000, bytes(1 << 20)))
    for read in (read_image, image_size):
        with pytest.raises(DataError, match=r"bomb\.png"):
            read(FilePart(path))


def test_a_depth_image_that_inflates_without_end_is_refused(tmp_path: Path) -> None:
    import numpy as np

    path = tmp_path / "depth.zlib"
    path.write_bytes(zlib.compress(bytes(1 << 28), 9))
    camera = Camera(np.diag([5.0, 5.0, 1.0]), np.eye(4), (48, 64))
    with pytest.raises(DataError, match="does not hold 64 x 48 depths"):
        read_depth(DepthImage(FilePart(path), camera, "zlib_u16"))

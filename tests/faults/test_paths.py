"""No name in a manifest, a shard or an index leads out of its folder."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from benchmarks.fault_injection.project import RUN_FOLDER, TARGETS, TinyProject
from lass3d_core.errors import CorruptArtifact, DataError
from lass3d_core.files.json_files import read_json, write_json
from lass3d_core.files.shards import ShardReader, write_shard
from preprocess.simulation.tree import settle

TARGET = {target.name: target for target in TARGETS}


def refusal(project: TinyProject, command: tuple[str, ...]) -> str:
    ended = project.run(command)
    assert ended.status == 2, ended.errors
    (line,) = [line for line in ended.error_lines if not line.startswith("warning: ")]
    return line


@pytest.mark.parametrize("name", ["../elsewhere", "a/../../b", ""])
@pytest.mark.parametrize("key", ["datasets", "splits", "views", "version"])
def test_no_name_in_a_manifest_leads_elsewhere(project: TinyProject, key: str, name: str) -> None:
    manifest = yaml.safe_load(project.manifest.read_text())
    street = manifest["datasets"]["street"]
    match key:
        case "datasets":
            manifest["datasets"][name] = street
            manifest["default"] = name
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


def test_a_damaged_record_deletes_no_other_folder(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "world").mkdir()
    record = tmp_path / "world" / "street.json"
    record.write_text(json.dumps({"generator": 0, "sequences": ["../../precious"]}))
    with pytest.raises(DataError, match=r"street\.json is damaged"):
        settle(record, tmp_path / "world" / "sequences", ["00"], {"generator": 1})
    assert (tmp_path / "precious").is_dir()


@pytest.mark.parametrize("scan_id", ["/tmp/x", "00/../../x"])
def test_a_scan_id_is_a_plain_path(finished: TinyProject, tmp_path: Path, scan_id: str) -> None:
    """Scan ids become the names of exported files."""
    reader = ShardReader(finished.folder / "artifacts/street/pairs/01-000.h5")
    (scan,) = reader.scans()
    with pytest.raises(CorruptArtifact, match="not the name of a scan"):
        write_shard(tmp_path / "shard.h5", reader.header, [replace(scan, scan_id=scan_id)])
    reader.close()


def test_an_index_names_only_files_beside_it(project: TinyProject) -> None:
    path = project.folder / "artifacts/street/pairs/index.json"
    values = read_json(path)
    values["shards"][0]["file"] = "../../../elsewhere.h5"
    write_json(path, values)
    shutil.rmtree(project.folder / RUN_FOLDER)
    assert "not the name of a file beside the index" in refusal(project, TARGET["training"].command)

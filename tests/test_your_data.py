"""docs/your-data.md is right: its example runs from the first line to the last."""

from __future__ import annotations

import re
import shlex
from contextlib import closing
from pathlib import Path

import pytest

import preprocess.__main__
import train.__main__
from lass3d_core.clouds import SUFFIXES
from lass3d_core.datasets.plain.reader import LABEL_COLUMNS
from lass3d_core.files.shards import ShardReader
from lass3d_core.manifest.classes import ClassesSpec

PAGE = Path(__file__).parents[1] / "docs" / "your-data.md"
BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's folder after its two files were made."""
    folder, blocks = tmp_path_factory.mktemp("example"), BLOCK.findall(PAGE.read_text())
    python = next(text for language, text in blocks if language == "python")
    manifest = next(text for language, text in blocks if language == "yaml")
    (folder / "data_manifest.yaml").write_text(manifest)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(python, str(PAGE), "exec"), {})
    return folder


def commands() -> list[list[str]]:
    """The make lines of the page, one target each: [target, "NAME=value", ...]."""
    found = []
    for _, text in BLOCK.findall(PAGE.read_text()):
        for line in text.splitlines():
            if line.startswith("make "):
                words = shlex.split(line)[1:]
                values = [word for word in words if "=" in word]
                found += [[target, *values] for target in words if "=" not in target]
    return found


def run(words: list[str], manifest: Path) -> int:
    """What the Makefile does for one target."""
    target, *values = words
    options: list[str] = ["--manifest", str(manifest)]
    for name, value in (value.split("=", 1) for value in values):
        for each in value.split() if name == "SET" else [value]:
            options += [f"--{name.lower()}", each]
    if target in ("train", "eval"):
        return train.__main__.main([{"train": "run"}.get(target, target), *options])
    return preprocess.__main__.main([target, *options])


def test_every_command_of_the_example_ends_well(
    place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    said: dict[str, str] = {}
    for words in commands():
        if words[0] == "eval":  # takes no settings
            words = [word for word in words if not word.startswith("SET=")]
        assert run(words, place / "data_manifest.yaml") == 0, words
        said[words[0]] = capfd.readouterr().out
    assert set(said) == {"doctor", "captions", "pairs", "audit", "train", "eval"}
    assert "ground" in said["eval"] and "crate" in said["eval"]
    with closing(ShardReader(place / "artifacts/mine/pairs/monday-000.h5")) as shard:
        assert shard.header.class_names == ("ground", "crate")
        assert shard.header.colours[1] == (220, 120, 20)


@pytest.mark.parametrize("name", [*SUFFIXES, *ClassesSpec.__dataclass_fields__, *LABEL_COLUMNS[::2]])
def test_the_page_names_every_format_and_key(name: str) -> None:
    assert f"`{name}`" in PAGE.read_text() or name in ("labels",)

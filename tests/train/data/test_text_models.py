"""Which models made the texts, from the headers of the files that hold them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lass3d_core.files.fingerprint import Record
from lass3d_core.files.text_table import TEXT_TABLE
from tests.text_tables import read_text_table, write_text_table
from train.__main__ import main
from train.data.paired_scans import PairedScans
from train.data.text_models import text_models, uses_text
from train.methods import METHODS
from train.methods.lass3d import Lass3dConfig
from train.methods.lass3d_plus import Lass3dPlusConfig

KEYS = {"image_captions": "captioner", "entities": "detector", "text_embeddings": "encoder"}


def made_by(stage: str, name: str) -> Record:
    return {"stage": stage, "schema": 1, "params": {KEYS[stage]: name}, "inputs": {}, "upstream": {}}


def name_models(tiny: Any, captioner: str, detector: str, encoder: str) -> None:
    """Write headers of captions and entities, and the record of the text table, that name these models."""
    for stage, name in (("image_captions", captioner), ("entities", detector)):
        (tiny.artifacts / stage).mkdir(exist_ok=True)
        line = json.dumps({"schema": 1, "record": made_by(stage, name)})
        (tiny.artifacts / stage / "0-000.jsonl").write_text(f'{line}\n{{"image_id": "0/0/image"}}\n')
    table = tiny.artifacts / TEXT_TABLE
    write_text_table(table, read_text_table(table), made_by("text_embeddings", encoder))


def is_real(tiny: Any) -> None:
    """Take the mark off the manifest that says that the data are simulated, and make the folder it names."""
    (tiny.root / "data").mkdir()
    tiny.manifest.write_text(tiny.manifest.read_text().replace("simulate: {}, ", ""))


def test_the_files_say_which_models_made_them(tiny: Any) -> None:
    name_models(tiny, "palette", "grounded_sam", "hashing")
    assert text_models(PairedScans.open(tiny.artifacts)) == {
        "image_captions": ("palette",),
        "entities": ("grounded_sam",),
        "text_embeddings": ("hashing",),
    }


@pytest.mark.parametrize(
    "header", [b"", b"{", b"[]\n", b'{"record": 3}\n', b"\xff\n", b'{"record": {"stage": "entities"}}\n']
)
def test_a_file_that_is_damaged_or_missing_names_no_model(tiny: Any, header: bytes) -> None:
    name_models(tiny, "palette", "palette", "hashing")
    (tiny.artifacts / "entities" / "0-000.jsonl").write_bytes(header)
    (tiny.artifacts / "image_captions" / "0-000.jsonl").unlink()
    found = text_models(PairedScans.open(tiny.artifacts))
    assert found == {"image_captions": (), "entities": (), "text_embeddings": ("hashing",)}


def test_methods_that_read_the_width_of_the_rows_alone_use_no_text() -> None:
    assert uses_text(Lass3dConfig()) and uses_text(Lass3dConfig(captions="image"))
    assert not uses_text(Lass3dConfig(captions="none"))
    assert uses_text(Lass3dPlusConfig()) and not uses_text(Lass3dPlusConfig(strength=0))
    for name in ("supervised", "mean_teacher", "lasermix"):
        assert not uses_text(METHODS[name][0]()), name


def warnings(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning:")]


def test_training_with_texts_of_stand_ins_says_so_once_unless_the_data_are_simulated(
    tiny: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    name_models(tiny, "palette", "palette", "hashing")
    training = tiny.training("--preset", "demo", method="lass3d")
    assert main(training) == 0
    assert warnings(capsys) == []
    is_real(tiny)
    assert main(training) == 0
    (line,) = warnings(capsys)
    assert "palette (image_captions, entities) and hashing (text_embeddings)" in line and "set tiny" in line
    assert main(tiny.training("--preset", "demo", method="supervised")) == 0
    assert warnings(capsys) == []


def test_the_manifest_does_not_decide_who_made_the_texts(
    tiny: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names palette and hashing, but the files were made by others."""
    name_models(tiny, "kosmos2", "grounded_sam", "open_clip")
    is_real(tiny)
    assert main(tiny.training("--preset", "demo", method="lass3d")) == 0
    assert warnings(capsys) == []

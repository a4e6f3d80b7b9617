"""docs/models.md names every model, and its lines are accepted in a manifest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from lass3d_core.manifest.reading import read_manifest
from lass3d_core.manifest.schema import EntitiesSpec, LvmSpec, LvmStage
from preprocess.doctor.models import PACKAGES
from preprocess.lvm import ADAPTERS, AUTHORS, check_lvm, params_of
from preprocess.lvm.params import SegmenterParams

ROOT = Path(__file__).parents[1]
STAGES: tuple[LvmStage, ...] = get_args(LvmStage)
PAGE = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")


def rows() -> list[tuple[str, list[str]]]:
    """The model and the cells of each row; a row without a name is of the model above it."""
    found: list[tuple[str, list[str]]] = []
    for line in PAGE.splitlines():
        if line.startswith("|") and not line.startswith(("| model", "|---")):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            found.append((cells[0].strip("` |") or found[-1][0], cells))
    return found


LINES = [cells[-1].strip("` |") for _, cells in rows()]


def test_every_model_of_every_stage_has_a_row_with_its_line() -> None:
    named = {(stage, yaml.safe_load(line)[stage]["name"]) for line in LINES for stage in yaml.safe_load(line)}
    assert named == {(stage, name) for stage in STAGES for name in ADAPTERS[stage]}


@pytest.mark.parametrize("line", LINES)
def test_every_line_is_accepted_in_a_manifest(line: str, tmp_path: Path) -> None:
    manifest = yaml.safe_load((ROOT / "data_manifest.yaml").read_text(encoding="utf-8"))
    manifest["datasets"] = {"street": manifest["datasets"]["street"]}
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump({**manifest, **yaml.safe_load(line)}))
    read, _ = read_manifest(tmp_path / "manifest.yaml", None, check_lvm)
    ((stage, entry),) = yaml.safe_load(line).items()
    assert getattr(read, stage).name == entry["name"]


def test_a_row_says_the_extra_and_the_weights_of_its_line() -> None:
    for name, cells in rows():
        ((stage, entry),) = yaml.safe_load(cells[-1].strip("` |")).items()
        assert entry["name"] == name
        extra = "lvm-paper" if name in AUTHORS else "segmenter" if name == "segmenter" else "lvm"
        assert cells[-2] == (f"`{extra}`" if name in PACKAGES else "none")
        chosen = params_of(stage, read_spec(stage, entry))
        weights = getattr(chosen, "weights", None)
        if weights and not isinstance(chosen, SegmenterParams):
            assert f"`{weights}`" in cells[2]


def read_spec(stage: str, entry: dict[str, Any]) -> LvmSpec:
    kind = EntitiesSpec if stage == "entities" else LvmSpec
    return kind(entry["name"], params=entry.get("params", {}))


def test_other_pages_lead_here() -> None:
    assert "docs/models.md" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert "(models.md)" in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_every_letter_at_a_number_is_explained() -> None:
    used = set(re.findall("[ᵃ-ᵿʰ-ʸᶛ-ᶿ]", PAGE))
    assert used == {"ᶜ", "ᵖ", "ʳ"}

from __future__ import annotations

from pathlib import Path

import pytest

from lass3d_core.manifest.reading import read_manifest
from lass3d_core.words.questions import questions


@pytest.mark.parametrize("dataset", ["street", "street_four", "room"])
def test_the_demos_questions_name_what_its_world_shows(dataset: str) -> None:
    manifest, _ = read_manifest(Path(__file__).parents[3] / "data_manifest.yaml")
    asked = questions(manifest.datasets[dataset].reader)
    assert asked == (("a chair", "a table") if dataset == "room" else ("a parked car", "a tree"))

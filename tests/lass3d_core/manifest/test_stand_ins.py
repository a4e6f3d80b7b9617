from __future__ import annotations

import pytest

from lass3d_core.manifest.schema import DatasetSpec, SimulateSpec, SplitSpec
from lass3d_core.manifest.stand_ins import STAND_INS, stand_in_warning, stand_ins

REAL = DatasetSpec("semantickitti", "data", SplitSpec(("00",), ("01",)))
SIMULATED = DatasetSpec("semantickitti", "data", SplitSpec(("00",), ("01",)), simulate=SimulateSpec())


@pytest.mark.parametrize(
    ("models", "found"),
    [
        (
            {"image_captions": ("palette",), "entities": ("palette",), "text_embeddings": ("hashing",)},
            {"palette": ["image_captions", "entities"], "hashing": ["text_embeddings"]},
        ),
        ({"entities": ("palette",), "text_embeddings": ("open_clip",)}, {"palette": ["entities"]}),
        ({"image_captions": ("kosmos2",), "text_embeddings": ("hashing",)}, {"hashing": ["text_embeddings"]}),
        ({"image_captions": ("kosmos2", "palette"), "entities": ()}, {"palette": ["image_captions"]}),
        ({"image_captions": ("kosmos2",), "entities": ("grounded_sam",)}, {}),
        ({}, {}),
    ],
)
def test_stand_ins_are_named_with_their_stages_unless_the_data_are_simulated(
    models: dict, found: dict
) -> None:
    assert stand_ins(REAL, models) == stand_ins(None, models) == found
    assert stand_ins(SIMULATED, models) == {}
    warning = stand_in_warning("mine", REAL, models)
    assert stand_in_warning("mine", SIMULATED, models) is None
    assert (warning is None) == (not found)
    for name, knows in STAND_INS.items():
        assert ((warning or "").count(f"{name} knows only {knows}") == 1) == (name in found)


def test_the_warning_is_one_line_that_says_where_and_what_to_do() -> None:
    warning = stand_in_warning("mine", REAL, {"entities": ("palette",)})
    assert warning is not None and "\n" not in warning
    assert "palette (entities) is a stand-in" in warning and "data set mine" in warning
    assert "name real models in the manifest" in warning

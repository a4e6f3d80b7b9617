"""The choosers: names, parameters, and what of them decides the answers."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from lass3d_core.errors import BackendUnavailable
from lass3d_core.manifest.schema import LvmSpec
from preprocess.lvm import check_lvm, identity_of, load_captioner, params_of

CAPTIONERS_WITH_WEIGHTS = ("kosmos2", "florence2")


@pytest.mark.parametrize("name", CAPTIONERS_WITH_WEIGHTS)
def test_where_a_model_runs_is_no_part_of_its_identity(name: str) -> None:
    here = LvmSpec(name, {"run": {"device": "cpu", "batch": 1}})
    there = LvmSpec(name, {"run": {"device": "cuda:1", "batch": 64}})
    assert params_of("image_captions", here) != params_of("image_captions", there)
    assert identity_of("image_captions", here) == identity_of("image_captions", there)


@pytest.mark.parametrize("name", CAPTIONERS_WITH_WEIGHTS)
@pytest.mark.parametrize(
    "change", [{"weights": "there"}, {"revision": "1f2e"}, {"dtype": "float32"}, {"tiles": {"overlap": 0.2}}]
)
def test_what_decides_the_answers_is_part_of_the_identity(name: str, change: dict[str, Any]) -> None:
    changed = identity_of("image_captions", LvmSpec(name, change))
    assert changed != identity_of("image_captions", LvmSpec(name))


def test_a_wrong_parameter_is_reported_by_its_path() -> None:
    problems: list[str] = []
    params = {"prompt": "long", "tiles": {"overlap": 0.9}, "run": {"batch": 0, "gpu": 1}}
    check_lvm("image_captions", LvmSpec("kosmos2", params), "image_captions", problems)
    assert [problem.split(": ")[0] for problem in problems] == [
        "image_captions.params.prompt",
        "image_captions.params.tiles.overlap",
        "image_captions.params.run.batch",
        "image_captions.params.run.gpu",
    ]


@pytest.mark.skipif(importlib.util.find_spec("transformers") is not None, reason="transformers is installed")
@pytest.mark.parametrize("name", CAPTIONERS_WITH_WEIGHTS)
def test_a_missing_package_is_one_line_with_the_fix(name: str) -> None:
    with pytest.raises(BackendUnavailable, match="No module named 'transformers'; run `make setup-lvm`"):
        load_captioner(LvmSpec(name))

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from preprocess.engine.local import visible_gpus, workers_for


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")


def test_the_variable_names_the_gpus(two_gpus: None) -> None:
    assert visible_gpus() == ("3", "5")


def test_an_empty_variable_hides_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert visible_gpus() == ()


def test_without_the_variable_the_drivers_tool_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == ()
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 0\necho 1\n")
    tool.chmod(0o755)
    assert visible_gpus() == ("0", "1")
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert visible_gpus() == ()


def test_a_model_with_weights_is_loaded_once_per_gpu(untouched_street: Any, two_gpus: None) -> None:
    untouched_street.set(workers=0, image_captions__name="kosmos2")
    project = untouched_street.project
    assert workers_for(project, "image_captions", 9) == ("3", "5")
    assert workers_for(project, "image_captions", 1) == ("3",)
    assert workers_for(project, "pairs", 9).count(None) == len(workers_for(project, "pairs", 9))


def test_workers_of_the_manifest_is_the_most(untouched_street: Any, two_gpus: None) -> None:
    untouched_street.set(workers=1, image_captions__name="kosmos2")
    assert workers_for(untouched_street.project, "image_captions", 9) == ("3",)
    untouched_street.set(workers=3)
    assert workers_for(untouched_street.project, "pairs", 9) == (None,) * 3


def test_a_named_device_is_used_by_one_process(untouched_street: Any, two_gpus: None) -> None:
    params = {"run": {"device": "cuda:1"}}
    untouched_street.set(workers=0, image_captions={"name": "kosmos2", "params": params})
    assert workers_for(untouched_street.project, "image_captions", 9) == (None,)


def test_without_a_gpu_a_model_with_weights_is_loaded_once(
    untouched_street: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    untouched_street.set(workers=0, image_captions__name="kosmos2")
    assert workers_for(untouched_street.project, "image_captions", 9) == (None,)

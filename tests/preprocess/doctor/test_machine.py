"""What the doctor says about GPUs that no test machine has."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from preprocess.doctor import machine


def card(name: str, major: int, minor: int, gigabytes: float) -> Any:
    return SimpleNamespace(name=name, major=major, minor=minor, total_memory=int(gigabytes * 1e9))


def test_each_gpu_is_named_with_what_it_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [card("new", 9, 0, 80), card("first with bfloat16", 8, 0, 40), card("older", 7, 5, 16)]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(cards))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: cards[number].name)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: cards[number])
    monkeypatch.setattr(machine, "models_of", lambda manifest: [])
    project: Any = SimpleNamespace(manifest=None)
    first, second, third = machine._gpu(project)
    assert first == ("ok", "GPU 0", "new with 80.0 GB, compute capability 9.0, bfloat16")
    assert second == ("ok", "GPU 1", "first with bfloat16 with 40.0 GB, compute capability 8.0, bfloat16")
    assert (third.mark, third.what) == ("note", "GPU 2")
    assert third.detail == (
        'older with 16.0 GB, compute capability 7.5, no bfloat16; train with SET="precision=float16"'
    )

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.errors import BackendUnavailable, DataError, UnknownName
from preprocess.lvm.device import Halving, pick_device, pick_dtype


class Memory:
    """Doubles numbers, up to `room` of them at once, as a GPU with little memory would."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.sizes: list[int] = []

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.sizes.append(len(numbers))
        if len(numbers) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [2 * number for number in numbers]


def test_auto_numbers_are_short_on_a_gpu_alone() -> None:
    assert pick_dtype("auto", torch.device("cuda")) == torch.bfloat16
    assert pick_dtype("auto", torch.device("cpu")) == torch.float32
    assert pick_dtype("bfloat16", torch.device("cpu")) == torch.bfloat16


def test_absent_gpu_is_named_with_the_remedy() -> None:
    with pytest.raises(BackendUnavailable, match=r"'cuda:99'.*run\.device"):
        pick_device("cuda:99")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", ""])
def test_unknown_device_is_named(name: str) -> None:
    with pytest.raises(UnknownName, match="there is no device"):
        pick_device(name)


def test_batch_that_does_not_fit_is_halved_once_and_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    memory, halving = Memory(room=4), Halving("kosmos2", 8)
    assert halving(memory, range(20)) == [2 * number for number in range(20)]
    assert halving(memory, range(5)) == [2 * number for number in range(5)]
    assert memory.sizes == [8, 4, 4, 4, 4, 4, 4, 1]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("kosmos2: a batch of 8 does not fit") and "with 4" in line


def test_single_item_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(DataError, match="kosmos2: a batch of one does not fit"):
        Halving("kosmos2", 3)(Memory(room=0), [1, 2, 3])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(), max_size=20), st.integers(1, 9), st.integers(1, 9))
def test_results_do_not_depend_on_batch_or_memory(numbers: list[int], batch: int, room: int) -> None:
    assert Halving("kosmos2", batch)(Memory(room), numbers) == [2 * number for number in numbers]

from __future__ import annotations

import pickle
from dataclasses import dataclass

import hypothesis.extra.numpy as arrays
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lass3d_core.compute.packing import pack, unpack

TYPES = st.sampled_from([np.float32, np.float16, np.int64, np.int32, np.uint8, np.bool_])
TENSORS = st.lists(
    TYPES.flatmap(lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=0, min_side=0, max_side=4))),
    min_size=1,
)


@dataclass(frozen=True)
class Pair:
    """Two tensors, and something beside them."""

    one: Tensor
    other: Tensor
    counts: tuple[int, ...] = (1, 2)
    name: str | None = None


@settings(max_examples=50, deadline=None)
@given(TENSORS)
def test_tensors_come_back_bit_for_bit_and_are_not_copied_again(values: list[np.ndarray]) -> None:
    tensors = tuple(torch.from_numpy(np.array(value)) for value in values)
    skeleton, packed = pack(tensors)
    back = unpack(pickle.loads(pickle.dumps(skeleton)), packed)
    assert [tensor.shape for tensor in back] == [tensor.shape for tensor in tensors]
    assert [tensor.dtype for tensor in back] == [tensor.dtype for tensor in tensors]
    assert [tensor.numpy().tobytes() for tensor in back] == [tensor.numpy().tobytes() for tensor in tensors]
    _, again = pack(back)
    assert (again.data_ptr(), len(again)) == (packed.data_ptr(), len(packed))


def test_a_tree_of_dataclasses_and_tuples_comes_back() -> None:
    pair = Pair(torch.arange(3, dtype=torch.int32), torch.tensor([True]), name="x")
    back, number = unpack(*pack((pair, 7)))
    assert torch.equal(back.one, pair.one) and torch.equal(back.other, pair.other)
    assert (back.counts, back.name, number) == ((1, 2), "x", 7)


def test_part_of_a_packed_tree_is_packed_without_a_copy() -> None:
    pair = Pair(torch.arange(3, dtype=torch.int32), torch.tensor([2.5], dtype=torch.float64))
    _, inner, _ = unpack(*pack((torch.ones(1, dtype=torch.uint8), pair, torch.ones(2))))
    skeleton, packed = pack(inner)
    assert packed.data_ptr() == inner.one.data_ptr()
    assert torch.equal(unpack(skeleton, packed.clone()).other, pair.other)


def test_a_transposed_tensor_is_packed_as_it_reads() -> None:
    transposed = torch.arange(6).reshape(2, 3).T
    (back,) = unpack(*pack((transposed,)))
    assert torch.equal(back, transposed)

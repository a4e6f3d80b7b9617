from __future__ import annotations

import hypothesis.extra.numpy as arrays
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lass3d_core.compute.packing import pack, unpack

TYPES = st.sampled_from([np.float32, np.float16, np.int64, np.int32, np.uint8, np.bool_])
TENSORS = st.lists(
    TYPES.flatmap(lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=0, min_side=0, max_side=4)))
)


@settings(max_examples=50, deadline=None)
@given(TENSORS)
def test_tensors_come_back_bit_for_bit(values: list[np.ndarray]) -> None:
    tensors = [torch.from_numpy(np.array(value)) for value in values]
    back = unpack(*pack(tensors))
    assert [tensor.shape for tensor in back] == [tensor.shape for tensor in tensors]
    assert [tensor.dtype for tensor in back] == [tensor.dtype for tensor in tensors]
    assert [tensor.numpy().tobytes() for tensor in back] == [tensor.numpy().tobytes() for tensor in tensors]


def test_each_begins_where_its_widest_number_may() -> None:
    one, layout = pack([torch.tensor([True]), torch.tensor([2.5], dtype=torch.float64), torch.tensor(7)])
    assert one.tolist() == [
        1,
        *[0] * 7,
        *torch.tensor([2.5]).double().view(torch.uint8).tolist(),
        7,
        *[0] * 7,
    ]
    assert layout == ((torch.bool, (1,)), (torch.float64, (1,)), (torch.int64, ()))


def test_a_transposed_tensor_is_joined_as_it_reads() -> None:
    transposed = torch.arange(6).reshape(2, 3).T
    (back,) = unpack(*pack([transposed]))
    assert torch.equal(back, transposed)

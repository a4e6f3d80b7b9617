"""Counting of kernel launches: what a GPU is asked for, told on a CPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

_NO_LAUNCH = {
    "_record_function_enter_new",  # marks for a profiler
    "_record_function_exit",
    "_local_scalar_dense",  # a copy of one number to the host
    "_unsafe_view",
    "detach",
    "empty",
    "empty_like",
    "empty_strided",
    "is_same_size",
    "lift_fresh",
    "new_empty",
    "new_empty_strided",
    "record_stream",
    "resize_",
    "set_",
}
"""ATen operations, besides views, that start no kernel: they allocate, or they run on the host."""


class KernelCount(TorchDispatchMode):
    """Counts the launches of the code in a `with` block, backward passes included.

    A launch is an ATen operation that writes memory of the device: no view, no allocation. One of a list of
    tensors (_foreach_, fused) is one launch. What waits for a GPU is counted in synchronisations.py.
    launches_of: operation -> its launches.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches_of: Counter[str] = Counter()

    @property
    def launches(self) -> int:
        """Of all operations together."""
        return self.launches_of.total()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name not in _NO_LAUNCH and not _is_view(func):
            self.launches_of[name] += 1
        return result


def _is_view(func: Any) -> bool:
    """Whether the operation returns its input's memory without writing to it."""
    results = func._schema.returns
    return bool(results) and all(
        result.alias_info is not None and not result.alias_info.is_write for result in results
    )

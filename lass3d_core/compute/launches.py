"""Counting of what a GPU is asked for: kernel launches, and the times that the program waits for it.

The count needs no GPU. On a CPU it tells what the same code would ask a GPU for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_NO_LAUNCH = {
    "_record_function_enter_new",  # marks for a profiler
    "_record_function_exit",
    "_local_scalar_dense",  # a copy of one number to the host: see _WAITING
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

_WAITING = {
    "_local_scalar_dense",  # item(), float(), int(), bool()
    "_unique",
    "_unique2",
    "bincount",  # reads the largest value
    "equal",
    "is_nonzero",
    "masked_select",
    "nonzero",
    "unique_consecutive",
    "unique_dim",
}
"""ATen operations that wait for the GPU, since the size of their result depends on values."""

_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
_TO_HOST = {"tolist", "cpu", "numpy"}
"""Methods of a tensor that read it. On a CPU they are no ATen operation."""


class KernelCount(TorchDispatchMode):
    """Counts launches and synchronisations of the code in a `with` block, backward passes included.

    A launch is an ATen operation that writes memory of the device: no view, no allocation. One of a list of
    tensors (_foreach_, fused) is one launch.
    A synchronisation is an operation whose result the host needs: `tolist`, `item`, `float`, `cpu`, `numpy`,
    the size of a `nonzero` or of an index by a mask. It is also a copy of Python numbers to a device
    (`torch.tensor` with a device), for which the host waits, too.
    Not seen: `.to("cpu")` of a tensor that lies there already.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches_of: Counter[str] = Counter()
        self.synchronisations_of: Counter[str] = Counter()
        self._reads = _HostReads(self.synchronisations_of)

    @property
    def launches(self) -> int:
        return self.launches_of.total()

    @property
    def synchronisations(self) -> int:
        return self.synchronisations_of.total()

    def __enter__(self) -> KernelCount:
        self._reads.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._reads.__exit__(*error)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if name not in _NO_LAUNCH and not _is_view(func):
            self.launches_of[name] += 1
        if _waits(name, func, args, kwargs, result):
            self.synchronisations_of[name] += 1
        return result


class _HostReads(TorchFunctionMode):
    """Counts calls that are no ATen operation on a CPU, but would wait for a GPU."""

    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self._found = found

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _TO_HOST and args and isinstance(args[0], Tensor):
            self._found[name] += 1
        elif func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            self._found["tensor"] += 1
        return func(*args, **kwargs)


def _is_view(func: Any) -> bool:
    """Whether the operation returns its input's memory without writing to it."""
    results = func._schema.returns
    return bool(results) and all(
        result.alias_info is not None and not result.alias_info.is_write for result in results
    )


def _waits(name: str, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> bool:
    if name in _WAITING:
        return True
    if name == "repeat_interleave":
        return kwargs.get("output_size") is None
    if name in _INDEXING:
        return any(one.dtype in (torch.bool, torch.uint8) for one in _tensors(args[1]))
    if name in ("_to_copy", "copy_"):
        source, target = args[1 if name == "copy_" else 0], result
        waiting = not (kwargs.get("non_blocking") or (name == "copy_" and len(args) > 2 and args[2]))
        return source.device.type != target.device.type and waiting
    return False


def _tensors(values: Any) -> Iterator[Tensor]:
    return (value for value in values if isinstance(value, Tensor))

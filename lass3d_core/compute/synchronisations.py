"""What makes the program wait for a GPU, counted. It works on a CPU, where nothing waits.

A GPU runs behind the program. Whoever asks for a number of it waits until all queued work is done, and the
GPU then waits for the program to queue more. `torch.cuda.set_sync_debug_mode` finds such places on a GPU.
Here they are counted by the operation, as if every tensor were on a GPU. So what is known on the host must
not be a tensor: a tuple of ints is read without being counted.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_PROJECT = Path(__file__).resolve().parents[2]

_aten = torch.ops.aten

_ANSWERS = {
    _aten._local_scalar_dense,  # item, float, int, bool
    _aten.equal,
    *(_aten.nonzero, _aten.masked_select, _aten.bincount),
    *(_aten._unique, _aten._unique2, _aten.unique_dim, _aten.unique_consecutive),
    *(_aten.unique_dim_consecutive, _aten._linalg_eigh),
}
"""Operations whose result, or its size, the program must know: it waits, whatever the arguments are."""

_INDEXED = {_aten.index, _aten.index_put, _aten.index_put_, _aten._index_put_impl_}
"""Operations that look for the places of a mask of booleans, and so ask how many they are."""

_READS = {Tensor.tolist, Tensor.numpy, Tensor.cpu, Tensor.__array__}
"""Copies to the host."""

_MADE = {torch.tensor, torch.as_tensor, torch.asarray}
"""Copies of numbers of the host, which wait if they go to a device."""


@contextmanager
def counted_synchronisations() -> Iterator[Counter[str]]:
    """Count what would wait for a GPU while the block runs, by its place: "train/loop.py tolist".

    The place is the innermost file of the project that is running, with the operation.
    """
    found: Counter[str] = Counter()
    with _Calls(found), _Operations(found):
        yield found


class _Operations(TorchDispatchMode):
    """Count operations, also those inside PyTorch's functions and the backward pass."""

    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket
        if packet in _ANSWERS or (packet in _INDEXED and _has_mask(args[1])) or _repeats(func, kwargs):
            self.found[f"{_place(sys._getframe(1))} {packet.__name__}"] += 1
        return func(*args, **kwargs)


class _Calls(TorchFunctionMode):
    """Count copies between host and device. On a CPU they are no operations, so the calls are counted."""

    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        caller = sys._getframe(1)
        # PyTorch's own calls are left out: they move a tensor to where it is already.
        if _of_project(caller) and _copies(func, args, kwargs):
            self.found[f"{_place(caller)} {func.__name__}"] += 1
        return func(*args, **kwargs)


def _copies(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call copies between host and device, and waits for the copy."""
    if func in _READS or func is Tensor.new_tensor:
        return True
    if func in _MADE:
        return kwargs.get("device") is not None
    if func is Tensor.to and not kwargs.get("non_blocking", False):
        places = (*args[1:2], kwargs.get("device"))
        return any(isinstance(place, (torch.device, str)) for place in places)
    return False


def _has_mask(indices: Iterable[Tensor | None]) -> bool:
    return any(one is not None and one.dtype in (torch.bool, torch.uint8) for one in indices)


def _repeats(func: Any, kwargs: Mapping[str, Any]) -> bool:
    """Whether a tensor says how often rows are repeated, and the caller does not say how many come out."""
    return func is _aten.repeat_interleave.Tensor and kwargs.get("output_size") is None


def _place(frame: FrameType | None) -> str:
    """The file, below the project's folder, of the innermost frame that belongs to the project."""
    while frame is not None and not _of_project(frame):
        frame = frame.f_back
    if frame is None:
        return "?"
    return Path(frame.f_code.co_filename).relative_to(_PROJECT).as_posix()


def _of_project(frame: FrameType) -> bool:
    path = frame.f_code.co_filename
    # A virtual environment may lie in the project's folder.
    return path.startswith(f"{_PROJECT}/") and "site-packages" not in path and path != __file__

"""A model of transformers and its processor from a folder, every parameter of it accounted for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import AutoProcessor
from transformers.utils import logging

from preprocess.lvm.weights import check_keys, loading


def load_pretrained(
    kind: Any, folder: Path, name: str, processor_kind: Any = AutoProcessor, **options: Any
) -> tuple[Any, Any]:
    """The processor in `folder` and its model, of class `kind`, for evaluation on the CPU.

    name: of the model, for messages. options: for the model's `from_pretrained`.
    Raises BackendUnavailable, CorruptArtifact; DataError where the weights leave a parameter unset, of which
    transformers only warns.
    """
    with loading(name, folder), _hushed():
        processor = processor_kind.from_pretrained(folder)
        model, info = kind.from_pretrained(folder, output_loading_info=True, **options)
    check_keys(name, folder, info["missing_keys"], ())
    return processor, model.eval()


@contextmanager
def _hushed() -> Iterator[None]:
    """No advice from transformers' own log meanwhile; what matters of it is raised."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)

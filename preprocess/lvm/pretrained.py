"""Load a model of transformers and its processor, and check that every parameter is set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import AutoProcessor
from transformers.utils import logging

from lass3d_core.errors import BackendUnavailable, DataError
from preprocess.lvm.load_errors import check_keys, check_tokenizer, loading


def load_pretrained(
    kind: Any, folder: Path, name: str, processor_kind: Any = AutoProcessor, **options: Any
) -> tuple[Any, Any]:
    """The processor in `folder` and the model, of class `kind`, on the CPU in evaluation mode.

    name: of the model, for messages. options: for the model's `from_pretrained`.
    Raises BackendUnavailable, CorruptArtifact; DataError if the folder holds another model or the weights
    lack a parameter (transformers only warns of that).
    """
    with loading(name, folder), _hushed():
        _check_kind(kind, folder, name)
        processor = processor_kind.from_pretrained(folder)
        model, info = kind.from_pretrained(folder, output_loading_info=True, **options)
    check_keys(name, folder, info["missing_keys"], ())
    if hasattr(processor, "tokenizer"):
        check_tokenizer(name, folder, processor.tokenizer)
    return processor, model.eval()


def _check_kind(kind: Any, folder: Path, name: str) -> None:
    """Refuse the folder of another model: transformers would build a default model from it."""
    config, _ = kind.config_class.get_config_dict(folder)
    if not config:
        raise BackendUnavailable(f"{name}: {folder} has no config.json; complete the folder")
    found, wanted = str(config.get("model_type")), kind.config_class.model_type
    # A longer name passes: SAM 2 is published as `sam2_video`.
    if not found.startswith(wanted):
        raise DataError(
            f"{name}: {folder} holds a model of type {found}, not {wanted}; "
            "name the weights that belong to this model"
        )


@contextmanager
def _hushed() -> Iterator[None]:
    """Silence the log of transformers; what matters is raised as an error."""
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)

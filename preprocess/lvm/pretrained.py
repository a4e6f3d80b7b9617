"""Load a model of transformers and its processor, and check that every parameter is set."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from transformers import AutoProcessor
from transformers.utils import logging

from lass3d_core.errors import BackendUnavailable, DataError
from preprocess.lvm.load_errors import check_keys, check_tokenizer, loading

Choice = TypeVar("Choice")


def load_pretrained(
    kind: Any,
    folder: Path,
    name: str,
    processor_kind: Any = AutoProcessor,
    types: Collection[str] = (),
    **options: Any,
) -> tuple[Any, Any]:
    """The processor in `folder` and the model, of class `kind`, on the CPU in evaluation mode.

    name: of the model, for messages. types: the model types that `kind` reads; none for its own alone.
    options: for the model's `from_pretrained`.
    Raises BackendUnavailable, CorruptArtifact; DataError if the folder holds another model or the weights
    lack a parameter (transformers only warns of that).
    """
    # transformers would build a default model from the folder of another one.
    choose(dict.fromkeys(types or (kind.config_class.model_type,)), folder, name)
    with loading(name, folder), hushed():
        processor = processor_kind.from_pretrained(folder)
        model, info = kind.from_pretrained(folder, output_loading_info=True, **options)
    check_keys(name, folder, info["missing_keys"], ())
    if hasattr(processor, "tokenizer"):
        check_tokenizer(name, folder, processor.tokenizer)
    return processor, model.eval()


def choose(known: Mapping[str, Choice], folder: Path, name: str) -> Choice:
    """The entry of `known`, by model type, for the model in `folder`. name: of the model, for messages.

    Raises BackendUnavailable without a config.json, CorruptArtifact; DataError for another type.
    """
    file = folder / "config.json"
    if not file.is_file():
        raise BackendUnavailable(f"{name}: {folder} has no config.json; complete the folder")
    with loading(name, folder):
        found = str(json.loads(file.read_text(encoding="utf-8")).get("model_type"))
    if found not in known:
        raise DataError(
            f"{name}: {folder} holds a model of type {found}, not {', '.join(known)}; "
            "name the weights that belong to this model"
        )
    return known[found]


@contextmanager
def hushed() -> Iterator[None]:
    """Silence the log and the bars of transformers; what matters is raised as an error."""
    before, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if had_bars:
            logging.enable_progress_bar()

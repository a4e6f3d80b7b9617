"""Whether a CLIP checkpoint was trained with QuickGELU, as OpenAI's weights and some later ones were.

The tensors do not show it, and a wrong answer raises no error. Three places may say it: the manifest, the
model's configuration, and open_clip's table of published weights, if it has the name. They must agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import open_clip

from lass3d_core.errors import DataError
from preprocess.lvm.params import OpenClipParams


def quick_gelu_of(path: Path, params: OpenClipParams, config: Mapping[str, Any]) -> bool:
    """Whether the model at `path` uses QuickGELU. config: its open_clip configuration.

    Raises DataError if two places disagree or none says it.
    """
    # Decision: a configuration without the key says nothing. open_clip takes it for false, but in a folder
    # that was put together by hand nothing else would show the mistake.
    said = {
        "the manifest": params.quick_gelu,
        "its configuration": config.get("quick_gelu"),
        "its origin": _of_origin(params.weights),
    }
    answers = {place: answer for place, answer in said.items() if answer is not None}
    if not answers:
        raise DataError(
            f"open_clip: {path} does not tell whether it was trained with QuickGELU; "
            "set `quick_gelu` to true (OpenAI's weights, and names with `quickgelu`) or false"
        )
    if len(set(answers.values())) > 1:
        raise DataError(
            f"open_clip: QuickGELU mismatch for {path}: "
            f"{', '.join(f'{place} says {str(answer).lower()}' for place, answer in answers.items())}; "
            "its features would be wrong; mend `quick_gelu` or `architecture`"
        )
    return next(iter(answers.values()))


def _of_origin(weights: str) -> bool | None:
    """The answer of open_clip's table for weights of this name: a hub id, or the name of a published file."""
    answers = {
        bool(published.get("quick_gelu"))
        for published in (open_clip.get_pretrained_cfg(*name) for name in open_clip.list_pretrained())
        if _is_name_of(weights, published)
    }
    return answers.pop() if len(answers) == 1 else None


def _is_name_of(weights: str, published: Mapping[str, Any]) -> bool:
    folder, file = "/".join(Path(weights).parts[-2:]), Path(weights).name
    return folder == published.get("hf_hub", "").strip("/") or file == Path(published.get("url", "")).name

"""From the token states of a batch to `TextRows`, for the text encoders with weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lass3d_core.records import TextRows

Encoded = tuple[np.ndarray, np.ndarray]
"""The rows (L,D) and the pooled row (D,) of a text, float32."""


def per_text(rows: torch.Tensor, pooled: torch.Tensor, lengths: Sequence[int], unit: bool) -> list[Encoded]:
    """Split a batch into texts.

    rows (T,L,D), pooled (T,D); lengths: tokens of each text. unit: whether rows are scaled to length 1.
    """
    if unit:
        rows, pooled = (torch.nn.functional.normalize(each.float(), dim=-1) for each in (rows, pooled))
    rows_of, pooled_of = rows.float().cpu().numpy(), pooled.float().cpu().numpy()
    return [(rows_of[i, :length], pooled_of[i]) for i, length in enumerate(lengths)]


def gathered(texts: Sequence[Encoded], dim: int) -> TextRows:
    """The rows of all texts. dim: the width D, needed if there is no text."""
    return TextRows(
        rows=np.concatenate([np.zeros((0, dim), np.float32), *(rows for rows, _ in texts)]),
        offsets=np.concatenate([[0], np.cumsum([len(rows) for rows, _ in texts])]).astype(np.int64),
        pooled=np.concatenate([np.zeros((0, dim), np.float32), *(pooled[None] for _, pooled in texts)]),
    )

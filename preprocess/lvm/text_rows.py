"""What the text encoders with weights have in common: from the tokens of a batch to `TextRows`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lass3d_core.records import TextRows

Encoded = tuple[np.ndarray, np.ndarray]
"""A text's rows (L,D) and its pooled row (D,), float32."""


def per_text(rows: torch.Tensor, pooled: torch.Tensor, lengths: Sequence[int], unit: bool) -> list[Encoded]:
    """Cut rows (T,L,D) to each text's length; pooled (T,D). unit: every row scaled to length 1."""
    if unit:
        rows, pooled = (torch.nn.functional.normalize(each.float(), dim=-1) for each in (rows, pooled))
    rows_of, pooled_of = rows.float().cpu().numpy(), pooled.float().cpu().numpy()
    return [(rows_of[i, :length], pooled_of[i]) for i, length in enumerate(lengths)]


def gathered(texts: Sequence[Encoded], dim: int) -> TextRows:
    """The rows of all texts; dim is their width, for when there is no text."""
    return TextRows(
        rows=np.concatenate([np.zeros((0, dim), np.float32), *(rows for rows, _ in texts)]),
        offsets=np.concatenate([[0], np.cumsum([len(rows) for rows, _ in texts])]).astype(np.int64),
        pooled=np.concatenate([np.zeros((0, dim), np.float32), *(pooled[None] for _, pooled in texts)]),
    )

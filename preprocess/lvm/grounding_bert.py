"""BERT inside groundingdino-py, for transformers 4 and 5.

The package runs BERT's layers itself, since each phrase of a prompt may see only its own tokens. For that it
calls methods of `BertModel` that transformers 5 does not have. Here only what both have is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from groundingdino.models.GroundingDINO import groundingdino


class PhraseBert(torch.nn.Module):
    """BERT with a mask between tokens. Its parameters have the names that the checkpoints use."""

    def __init__(self, bert_model: Any) -> None:
        super().__init__()
        self.config = bert_model.config
        self.embeddings, self.encoder = bert_model.embeddings, bert_model.encoder
        self.pooler = bert_model.pooler  # in the checkpoints; no answer depends on it

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor,
        position_ids: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """The states (B,T,D) of tokens (B,T) under a mask (B,T,T) that is true where row t sees column u.

        position_ids (B,T): the place of a token in its phrase.
        """
        states = self.embeddings(
            input_ids=input_ids, token_type_ids=token_type_ids, position_ids=position_ids
        )
        mask = added(attention_mask, states.dtype)
        return {"last_hidden_state": self.encoder(states, attention_mask=mask)[0]}


def added(sees: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What is added to the attention's logits, (B,1,T,T): 0 where `sees` (B,T,T), else the lowest number."""
    # Not -inf: a row without a column that it sees would become NaN.
    none = torch.zeros(sees.shape, dtype=dtype, device=sees.device)
    return none.masked_fill(~sees.bool(), torch.finfo(dtype).min)[:, None]


@contextmanager
def phrase_bert() -> Iterator[None]:
    """While it is open, groundingdino-py builds its model with `PhraseBert`."""
    with patch.object(groundingdino, "BertModelWarper", PhraseBert):
        yield

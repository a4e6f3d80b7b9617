"""Counts of phrases on scenes, for tests that need no scans."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from train.methods.parts.label_prior import LabelledVotes, PhraseCounts, scene_votes


def counts_of(
    scenes: Tensor,
    means: Sequence[Sequence[int]] = (),
    rows: Tensor | None = None,
    points: LabelledVotes | None = None,
) -> PhraseCounts:
    """Each scene of `scenes` (K,P,C) is a fold of its own.

    means: of each phrase the classes that its words name; none if not given. rows (P,D): without them no
    phrase is like another.
    """
    counts = scenes.float()
    named = torch.zeros(counts.shape[1:], dtype=torch.bool)
    for phrase, of_phrase in enumerate(means):
        named[phrase, list(of_phrase)] = True
    votes = torch.stack([scene_votes(one) for one in counts])
    return PhraseCounts(counts, votes, torch.eye(counts.shape[1]) if rows is None else rows, named, points)

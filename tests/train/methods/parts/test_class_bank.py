from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from train.methods.parts.class_bank import Bank, rank_in_class

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**31)


def test_bank_keeps_the_latest_of_each_class() -> None:
    bank = Bank(3, 4, 1)
    bank.enter(torch.arange(6.0)[:, None], torch.tensor([0, 1, 0, 0, 1, 0]))
    bank.enter(torch.arange(10.0, 13.0)[:, None], torch.tensor([0, 0, 1]))
    assert bank.entered.tolist() == [6, 3, 0]
    assert bank.rows[0].flatten().tolist() == [10, 11, 3, 5]
    assert bank.rows[1].flatten().tolist() == [1, 4, 12, 0]


def test_negatives_come_equally_from_the_classes_and_only_from_what_was_seen() -> None:
    bank = Bank(3, 10, 1)
    bank.enter(torch.arange(1.0, 13.0)[:, None], torch.tensor([0] * 9 + [1] * 3))
    rows, classes = bank.draw(15, np.random.default_rng(0))
    assert torch.bincount(classes, minlength=3).tolist() == [5, 3, 0]
    assert sorted(rows[classes == 1].flatten().tolist()) == [10, 11, 12]
    assert len(set(rows[classes == 0].flatten().tolist())) == 5 and float(rows.min()) > 0


@few
@given(seeds, st.integers(0, 40))
def test_rank_in_class_counts_those_before(seed: int, count: int) -> None:
    classes = np.random.default_rng(seed).integers(0, 4, count)
    expected = [int((classes[:place] == own).sum()) for place, own in enumerate(classes)]
    assert rank_in_class(torch.from_numpy(classes)).tolist() == expected
    shuffled = rank_in_class(torch.from_numpy(classes), np.random.default_rng(seed))
    for own in range(4):
        of_class = sorted(shuffled[torch.from_numpy(classes == own)].tolist())
        assert of_class == list(range(len(of_class)))

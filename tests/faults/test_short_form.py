"""The short form of benchmarks/faults.py: no kill loses data, no flipped byte goes unnoticed."""

from __future__ import annotations

import pytest

from benchmarks.fault_injection.flips import flip_all
from benchmarks.fault_injection.kills import kill_all
from benchmarks.fault_injection.project import TinyProject
from benchmarks.fault_injection.shared_memory import fill_all

pytestmark = pytest.mark.slow


@pytest.mark.timeout(900)
def test_killed_commands_run_again_give_the_same_bytes(finished: TinyProject) -> None:
    outcomes = kill_all(finished, 12, seed=1)
    assert [one for one in outcomes if not one.good] == []
    assert sum(one.kills for one in outcomes) == 12


def test_every_flipped_byte_is_noticed_or_harmless(finished: TinyProject) -> None:
    outcomes = flip_all(finished, 120, seed=1)
    assert sum(one.count for one in outcomes) == 120
    assert [one for one in outcomes if not one.good] == []


@pytest.mark.timeout(300)
def test_training_in_a_small_shared_memory_ends_with_one_line(finished: TinyProject) -> None:
    outcome = fill_all(finished, 3, seed=1)
    if outcome is None:
        pytest.skip("this user may not mount")
    assert outcome.good, outcome.remarks

"""The short form of benchmarks/faults.py: no kill loses anything, no flipped byte goes unnoticed."""

from __future__ import annotations

import pytest

from benchmarks.fault_injection.flips import flip_all
from benchmarks.fault_injection.kills import kill_all
from benchmarks.fault_injection.project import TinyProject

pytestmark = pytest.mark.slow


@pytest.mark.timeout(900)
def test_killed_commands_run_again_give_the_same_bytes(finished: TinyProject) -> None:
    outcomes = kill_all(finished, 12, seed=1)
    assert sum(one.kills for one in outcomes) == 12
    assert [one for one in outcomes if not one.good] == []


def test_every_flipped_byte_is_noticed_or_harmless(finished: TinyProject) -> None:
    outcomes = flip_all(finished, 180, seed=1)
    assert sum(one.count for one in outcomes) == 180
    assert [one for one in outcomes if not one.good] == []

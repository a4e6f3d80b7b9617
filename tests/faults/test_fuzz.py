"""Mutants of every file that a person may edit or download: a value, or one line of a Lass3dError."""

from __future__ import annotations

import json

import pytest

from benchmarks.fault_injection.project import TinyProject
from tests.faults.parsers import PARSERS

MUTANTS = 12


@pytest.mark.parametrize("name", PARSERS)
def test_a_mutant_is_read_or_refused_in_one_line(finished: TinyProject, name: str) -> None:
    ended = finished.warm.call("tests.faults.parsers:print_failures", str(finished.folder), name, MUTANTS, 0)
    assert ended.status == 0, ended.errors
    failures = json.loads(ended.output)
    assert not failures, "\n".join(failures[:5])

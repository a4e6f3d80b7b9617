"""Settings that are checked when they are made: the manifest and a run's configuration are built of them.

A group of settings is a pydantic dataclass, frozen, whose fields carry their bounds:

    @dataclass(frozen=True, config=SETTINGS)
    class EmaConfig:
        alpha: float = Field(0.999, ge=0, lt=1)  # horizon of the teacher, Eq. (1)
"""

from __future__ import annotations

from pydantic import ConfigDict

SETTINGS = ConfigDict(extra="forbid", allow_inf_nan=False)
"""No unknown keys, no infinities."""

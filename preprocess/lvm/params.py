"""Parameters of the models with weights, one frozen dataclass per adapter; nothing here loads a package.

`weights` is a hub id, or a local directory or file (a relative path starts at the working directory);
`revision` chooses a version of a hub id. A field decides the answers, except those in `run`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DType = Literal["auto", "float32", "bfloat16"]
"""auto: bfloat16 on a GPU, float32 on a CPU."""


@dataclass(frozen=True)
class RunParams:
    """Where and how fast a model runs; the answers do not depend on it, so it leaves every shard fresh.

    device: auto (a GPU if there is one), cpu, cuda, cuda:1. batch: images or texts at once, halved and
    tried again where memory is short.
    """

    device: str = "auto"
    batch: int = 8

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, got {self.batch}")

"""What the things of a simulated world are made of: one table per world, one material per class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """The surface of one class. remission, range_noise_m and drop_out: for the LiDAR alone."""

    name: str
    raw_id: int  # the class in the label files of the data set
    colours: tuple[Rgb, ...]  # RGB in [0,1]; each object has one of them
    pattern: str = "mottled"  # the name of the texture
    remission: float = 0.0  # mean, in [0,1]
    range_noise_m: float = 0.02  # standard deviation
    drop_out: float = 0.05  # share of lost returns


class Materials(tuple[Material, ...]):
    """The materials of a world. A scene stores each as its index in this tuple."""

    def position(self, name: str) -> int:
        """The index of the material `name`."""
        return [material.name for material in self].index(name)

    def column(self, field: str) -> np.ndarray:
        """One field of all materials, in their order."""
        return np.array([getattr(material, field) for material in self])

    def draw_colour(self, rng: np.random.Generator, name: str, spread: float) -> np.ndarray:
        """RGB (3,) in [0,1] of a new object: a colour of its material, changed by `spread` per channel."""
        colours = self[self.position(name)].colours
        nominal = np.array(colours[rng.integers(len(colours))])
        return np.clip(nominal + rng.normal(0.0, spread, 3), 0.02, 0.98)

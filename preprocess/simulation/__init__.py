"""Simulated data sets, written in the layout of a real one. Here a manifest's world is chosen."""

from __future__ import annotations

from lass3d_core.manifest.schema import DatasetSpec
from preprocess.simulation.tree import SimulationReport


def simulate(spec: DatasetSpec, workers: int = 0) -> SimulationReport:
    """Write the scans of the world in `spec` that are not on disk yet.

    workers: processes; 0 for one per core. Raises DataError, ManifestError, StorageError.
    """
    assert spec.simulate is not None
    if spec.simulate.world == "street":
        from preprocess.simulation.street.writer import write_street

        return write_street(spec.root, spec.simulate, spec.splits, workers)
    from preprocess.simulation.room.writer import write_rooms

    return write_rooms(spec.root, spec.simulate, workers)

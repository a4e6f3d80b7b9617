"""Simulated data sets: what their worlds share, and the choice of the world that a manifest names."""

from __future__ import annotations

from lass3d_core.manifest.schema import DatasetSpec
from preprocess.simulation.tree import SimulationReport


def simulate(spec: DatasetSpec, workers: int = 0) -> SimulationReport:
    """Write what is missing of the world that `spec` names, in the layout of its reader.

    workers: processes, 0 = one per core. Raises DataError, ManifestError, StorageError.
    """
    assert spec.simulate is not None
    match spec.simulate.world:
        case "street":
            from preprocess.simulation.street import write_street

            return write_street(spec.root, spec.simulate, spec.splits, workers)
        case "room":
            from preprocess.simulation.room import write_rooms

            return write_rooms(spec.root, spec.simulate, workers)

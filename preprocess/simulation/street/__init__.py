"""The simulated street: procedural scenes, a spinning LiDAR, pinhole cameras, a SemanticKITTI tree."""

from preprocess.simulation.street.writer import write_street

__all__ = ["write_street"]

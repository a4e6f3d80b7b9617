"""The simulated street: random scenes, a spinning LiDAR, pinhole cameras, files in SemanticKITTI's layout."""

from preprocess.simulation.street.writer import write_street

__all__ = ["write_street"]

"""The simulated street: procedural scenes, a spinning LiDAR, pinhole cameras, a SemanticKITTI tree."""

from preprocess.street.writer import StreetReport, write_street

__all__ = ["StreetReport", "write_street"]

"""The simulated rooms: furnished scenes, a walking RGB-D camera, a ScanNet tree."""

from preprocess.simulation.room.writer import write_rooms

__all__ = ["write_rooms"]

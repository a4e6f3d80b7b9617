"""The simulated rooms: random furnished scenes, a hand-held RGB-D camera, files in ScanNet's layout."""

from preprocess.simulation.room.writer import write_rooms

__all__ = ["write_rooms"]

"""Where each reader looks for labels and images, in the words of a message to the user."""

from __future__ import annotations


class _Places(dict[str, str]):
    """Reader -> a place, in words. A reader that another package brings knows its own places."""

    def __missing__(self, reader: str) -> str:
        return f"the place that the reader {reader} knows"


LABELS = _Places(
    {
        "semantickitti": "the folder labels/ of each sequence",
        "scannet": "SCENE_vh_clean_2.labels.ply of each scene",
        "nuscenes": "the folder lidarseg/, by VERSION/lidarseg.json",
        "plain": "the folder labels/ of each sequence, or a column of the cloud (`label_column`)",
    }
)
"""Reader -> the place of its labels."""

IMAGES = _Places(
    {
        "semantickitti": "the folder image_2/ of each sequence, or the folders that `views` names",
        "scannet": "the folder color/ of each scene, or SCENE.sens",
        "nuscenes": "the files of the six cameras, or of those that `views` names",
        "plain": "every folder in images/ of each sequence, or those that `views` names",
    }
)
"""Reader -> the place of its images."""

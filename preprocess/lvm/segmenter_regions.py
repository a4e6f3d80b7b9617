"""The connected parts of an image that are of one class, with boxes and scores."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from preprocess.lvm.colour_regions import Region, Regions, box_of, large_parts
from preprocess.lvm.segmenter_output import Classified

# Decision: a map of classes says nothing of how sure it is. So each of its regions gets the same score, which
# is above the default of `pairs.min_score` and tells no region from another.
SCORE_OF_CLASSES = 0.5


def regions(seen: Classified, min_pixels: int) -> Regions:
    """The regions of at least `min_pixels` pixels. score: the mean probability of the region's pixels."""
    labels, owners, areas = large_parts(seen.classes, min_pixels)
    scores = np.full(len(areas) - 1, SCORE_OF_CLASSES)
    if seen.probability is not None:
        sums = np.bincount(labels.ravel(), seen.probability.ravel(), minlength=len(areas))
        scores = np.clip(sums[1:] / areas[1:], 0.0, 1.0)
    boxes = map(box_of, ndimage.find_objects(labels, max_label=len(scores)))
    found = zip(owners[1:].tolist(), areas[1:].tolist(), boxes, scores.tolist())
    return Regions(labels, tuple(Region(*each) for each in found))

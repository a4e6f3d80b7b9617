"""`hf_grounded_sam`: a Grounding DINO and a Segment Anything from transformers, nothing else."""

from __future__ import annotations

from preprocess.lvm.box_search import BoxSearch, GroundedDetector
from preprocess.lvm.device import pick_device, pick_dtype
from preprocess.lvm.hf_grounding_dino import DINO, HfGroundingDino
from preprocess.lvm.hf_sam import SAM, HfSegmentAnything
from preprocess.lvm.params import HfGroundedSamParams
from preprocess.lvm.weights import local_path


class HfGroundedSamDetector(GroundedDetector):
    """An `EntityDetector` that loads both models once."""

    def __init__(self, params: HfGroundedSamParams) -> None:
        """Load the models. Raises BackendUnavailable, CorruptArtifact, DataError."""
        device = pick_device(params.run.device)
        dtype = pick_dtype(params.dtype, device)
        dino, sam = params.dino, params.sam
        boxes = HfGroundingDino(local_path(dino.weights, dino.revision, DINO), device, dtype)
        masks = HfSegmentAnything(local_path(sam.weights, sam.revision, SAM), device, dtype)
        super().__init__(BoxSearch(DINO, boxes, params), masks)

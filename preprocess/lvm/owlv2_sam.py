"""`owlv2_sam`: OWLv2 finds boxes for the phrases, a Segment Anything of transformers masks each.

OWLv2 scores every box against every phrase on its own. So phrases do not merge, and an image takes one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image
from scipy.special import expit

from preprocess.lvm.box_search import GroundedDetector, autocast
from preprocess.lvm.device import Halving, pick_device, pick_dtype
from preprocess.lvm.hf_sam import SAM, HfSegmentAnything
from preprocess.lvm.params import DetectorParams, Owlv2SamParams
from preprocess.lvm.phrase_scores import NamedBoxes, best_named, concatenate, lone_phrases, pixels, suppress
from preprocess.lvm.pretrained import load_pretrained
from preprocess.lvm.weights import local_path

OWL = "OWLv2"


class Owlv2SamDetector(GroundedDetector):
    """An `EntityDetector` that loads both models once."""

    def __init__(self, params: Owlv2SamParams) -> None:
        """Load the models. Raises BackendUnavailable, CorruptArtifact, DataError."""
        device = pick_device(params.run.device)
        dtype = pick_dtype(params.dtype, device)
        owl, sam = params.owl, params.sam
        boxes = Owlv2(local_path(owl.weights, owl.revision, OWL), device, dtype, params)
        super().__init__(boxes, HfSegmentAnything(local_path(sam.weights, sam.revision, SAM), device, dtype))


class Owlv2:
    """A `BoxFinder`. Decision: a phrase is asked for as it is, without "a photo of", since 14 tokens fit."""

    def __init__(
        self, folder: Path, device: torch.device, dtype: torch.dtype, params: DetectorParams
    ) -> None:
        kind, processor = transformers.Owlv2ForObjectDetection, transformers.Owlv2Processor
        self._processor, model = load_pretrained(kind, folder, OWL, processor)
        self._model = model.to(device)
        self._device, self._dtype, self._params = device, dtype, params
        self._window: int = model.config.text_config.max_position_embeddings
        self._in_batches = Halving(OWL, params.run.batch)

    def __call__(
        self, images: Sequence[np.ndarray], vocabularies: Sequence[Sequence[str]]
    ) -> list[NamedBoxes]:
        """See `BoxFinder`. Images of several sizes share a batch: each becomes a square of one size."""
        asked = [lone_phrases(words, self._token_count, self._window) for words in vocabularies]
        wanted = [index for index, phrases in enumerate(asked) if phrases]
        found = [concatenate([]) for _ in images]

        def ask(batch: Sequence[int]) -> list[NamedBoxes]:
            return self._ask([images[index] for index in batch], [asked[index] for index in batch])

        for index, boxes in zip(wanted, self._in_batches(ask, wanted)):
            found[index] = suppress(boxes, self._params.max_iou)
        return found

    def _ask(self, images: Sequence[np.ndarray], asked: Sequence[dict[str, str]]) -> list[NamedBoxes]:
        """The named boxes of each image, before suppression."""
        # The model wants equally many phrases for each image: shorter vocabularies are filled up.
        most = max(map(len, asked))
        texts = [text for one in asked for text in (*one.values(), *[""] * (most - len(one)))]
        tokens = self._processor.tokenizer(
            texts, padding="max_length", max_length=self._window, return_tensors="pt"
        ).to(self._device)
        pil_images = [Image.fromarray(image) for image in images]
        scaled = self._processor.image_processor(images=pil_images, return_tensors="pt")["pixel_values"]
        with autocast(self._device, self._dtype):
            answer = self._model(
                input_ids=tokens["input_ids"],
                attention_mask=tokens["attention_mask"],
                pixel_values=scaled.to(self._device),
            )
        # The boxes again in float32: bfloat16 would round them to a 256th of the image.
        features = answer.image_embeds.float()
        boxes = self._model.box_predictor(features.flatten(1, 2), features).cpu().numpy()
        scores = expit(answer.logits.float().cpu().numpy())
        return [
            self._named(image.shape[:2], rows[:, : len(one)], shares, list(one))
            for image, one, rows, shares in zip(images, asked, scores, boxes)
        ]

    def _named(
        self, size_hw: tuple[int, int], scores: np.ndarray, boxes: np.ndarray, phrases: Sequence[str]
    ) -> NamedBoxes:
        """scores (Q,P). boxes (Q,4): cxcywh, shares of the image padded at the right or below to a square."""
        side = max(size_hw)
        return best_named(scores, pixels(boxes, (side, side), size_hw), phrases, self._params.box_floor)

    def _token_count(self, text: str) -> int:
        return len(self._processor.tokenizer(text, add_special_tokens=False)["input_ids"])

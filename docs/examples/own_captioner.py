"""A captioner that knows a road, in the lower half of an image, and a sky, in a bright upper half."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from lass3d_core.records import GroundedPhrase, ImageCaption
from lass3d_core.settings import SETTINGS


@dataclass(frozen=True, config=SETTINGS)
class HorizonParams:
    bright: float = Field(default=150.0, ge=0, le=255)  # least mean of the upper half for a sky
    revision: int = 1  # raise it when the code answers otherwise: then the captions are made anew


class HorizonCaptioner:
    """An `ImageCaptioner` (preprocess/lvm/__init__.py)."""

    def __init__(self, params: HorizonParams) -> None:
        self.params = params

    def caption(self, images: Sequence[np.ndarray]) -> list[ImageCaption]:
        return [self._caption_one(image) for image in images]

    def _caption_one(self, image: np.ndarray) -> ImageCaption:
        height, width, _ = image.shape
        phrases = [GroundedPhrase("road", (0.0, height / 2, float(width), float(height)))]
        if image[: height // 2].mean() >= self.params.bright:
            phrases.append(GroundedPhrase("sky", (0.0, 0.0, float(width), height / 2)))
        text = f"A photograph of {' and '.join(one.phrase for one in phrases)}."
        return ImageCaption(text, tuple(phrases), raw=text)


MODEL = (HorizonParams, HorizonCaptioner)

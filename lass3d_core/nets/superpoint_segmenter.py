"""SSS-Net's segmenter: the mean of a superpoint's features corrects the feature of each of its voxels.

Letters: M voxels, F input features, C classes.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from lass3d_core.compute.precision import to_float32
from lass3d_core.nets.segmenter import make_classifier
from lass3d_core.nets.superpoints import SuperpointConfig, Superpoints, mean_by_superpoint, superpoints
from lass3d_core.sparse.maps import KernelPyramid


class SuperpointSegmenter(nn.Module):
    """logits = classifier(f + A(mean of f in the superpoint)), f = backbone(points)."""

    def __init__(self, backbone: nn.Module, num_classes: int, regions: SuperpointConfig) -> None:
        super().__init__()
        channels = cast(int, backbone.out_channels)
        self.regions = regions
        self.backbone = backbone
        self.aggregation = nn.Linear(channels, channels)
        self.classifier = make_classifier(channels, num_classes)

    def forward(self, features: Tensor, pyramid: KernelPyramid) -> Tensor:
        """features (M,F) float32 of the voxels of `pyramid` -> logits (M,C) float32."""
        return self.logits(self.backbone(features, pyramid), self.superpoints(features, pyramid))

    def superpoints(self, features: Tensor, pyramid: KernelPyramid) -> Superpoints:
        """The superpoints of the scans."""
        return superpoints(features, pyramid.submanifold[0], self.regions)

    def logits(self, embedded: Tensor, regions: Superpoints) -> Tensor:
        """embedded (M,channels) of the backbone -> logits (M,C) float32."""
        mean = mean_by_superpoint(to_float32(embedded), regions)
        found: Tensor = self.classifier(embedded + self.aggregation(mean)[regions.of_voxel])
        return found

"""The network that predicts from points alone: backbone, adapter, classifier."""

from __future__ import annotations

from torch import Tensor, nn

from lass3d_core.compute.precision import to_float32
from lass3d_core.sparse.maps import KernelPyramid


class Segmenter(nn.Module):
    """logits = classifier(adapter(backbone(points))). It takes no text."""

    def __init__(self, backbone: nn.Module, adapter: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.adapter = adapter
        self.classifier = classifier

    def forward(self, features: Tensor, pyramid: KernelPyramid) -> Tensor:
        """features (M,F) float32 of the voxels of `pyramid` -> logits (M,C) float32."""
        return self.classifier(self.embed(features, pyramid))

    def embed(self, features: Tensor, pyramid: KernelPyramid) -> Tensor:
        """The features that the classifier gets, (M,channels)."""
        return self.adapter(self.backbone(features, pyramid))


def make_classifier(channels: int, num_classes: int) -> nn.Module:
    """The classifier of every method: features (M,channels) -> logits (M,num_classes) float32.

    Decision: the paper says "multi-layer perceptron" (Sec. 4.2); one hidden layer as wide as the features.
    """
    return _Classifier(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, num_classes))


class _Classifier(nn.Sequential):
    """Layers whose result is always float32."""

    def forward(self, features: Tensor) -> Tensor:
        return to_float32(super().forward(features))

"""A U-Net on range images. A voxel gets the features of the pixel in which it lies.

Letters: M voxels of the batch, F input features, C channels, P pixels of all images.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lass3d_core.nets import image_convolution
from lass3d_core.nets.batch_norm import BatchNorm
from lass3d_core.nets.image_convolution import ImagePyramid, Images
from lass3d_core.nets.range_view import RangeView, range_view
from lass3d_core.nets.unet import MinkUNet, UNetConfig
from lass3d_core.sparse.maps import KernelPyramid


class RangeUNet(nn.Module):
    """Voxels to the range image of their scan, a U-Net over the images, and back to every voxel.

    A pixel shows the inputs of its nearest voxel, the distance of that voxel, and a 1. An empty pixel shows
    zeros.
    out_channels: width of the result.
    levels: of the kernel pyramid that `forward` needs; it reads only the coordinates.

    Decision: the U-Net has the stages and widths of the voxel U-Net, with 3x3 kernels instead of 3x3x3. So
    the two views differ in nothing else. It has a third of the weights: 7.6 M for MinkUNet18-w32. FIDNet,
    which LaserMix uses here, has 6.05 M.
    Decision: a voxel behind the one that its pixel shows must not get the same features. A layer adds the
    voxel's own inputs, and how far behind it lies, to the features of its pixel. (FIDNet lets neighbours in
    space vote on the predicted labels, which no loss sees.) In one KITTI scan with 64 x 2048 pixels, a fifth
    of the voxels of 5 cm lay behind another voxel, a third of these by more than a metre.
    Decision: inputs are always standardised, by batch norm over voxels, so that the zeros of an empty pixel
    are ordinary values. FIDNet standardises too, by constants of SemanticKITTI.
    """

    def __init__(self, config: UNetConfig, in_channels: int) -> None:
        super().__init__()
        self.levels = config.levels
        self.out_channels = config.decoder[-1]
        self.image = config.image
        inputs = in_channels + 2
        self.enter = BatchNorm(inputs, affine=False)
        self.unet = MinkUNet(replace(config, standardise_input=False), inputs + 1, image_convolution)
        self.seen = nn.Linear(self.out_channels, self.out_channels, bias=False)
        self.own = nn.Linear(inputs, self.out_channels, bias=False)
        self.norm = BatchNorm(self.out_channels)

    def forward(self, features: Tensor, pyramid: KernelPyramid) -> Tensor:
        """features (M,in_channels) of the voxels pyramid.coords[0] -> (M,out_channels).

        The first three features are x, y, z in metres from the sensor.
        """
        scan = pyramid.coords[0][:, 0]
        with torch.autocast(features.device.type, enabled=False):  # coordinates: see precision.py
            view = range_view(features[:, :3], scan, self.image)
        return self.from_view(features, view, pyramid.first_rows[0])

    def from_view(self, features: Tensor, view: RangeView, first: int | None = None) -> Tensor:
        """features (M,in_channels) of voxels, of which `view` names the pixels -> (M,out_channels).

        first: voxels, and so the images, that batch norm keeps apart; see BatchNorm.
        """
        with torch.autocast(features.device.type, enabled=False):  # coordinates: see precision.py
            behind = view.distance[:, None], view.behind[:, None]
            inputs = self.enter(torch.cat([features, *behind], dim=1), first)
            own = self.own(inputs)
        size = self.image.height, self.image.width
        # The image of the last of these voxels is the last one that is kept apart.
        images = None if first is None else int(view.pixel[:first].amax()) // (size[0] * size[1]) + 1
        pyramid = ImagePyramid.of(Images(view.scans, *size), self.unet.levels, images)
        pixels = self.unet(shown(inputs, view), pyramid)
        return torch.relu_(self.norm(self.seen(pixels[view.pixel]) + own, first))


def shown(inputs: Tensor, view: RangeView) -> Tensor:
    """The pixels (P,F+1): the inputs (M,F) of the nearest voxel and a 1; zeros for an empty pixel."""
    marked = F.pad(inputs, (0, 1), value=1.0)
    return F.pad(marked, (0, 0, 0, 1))[view.nearest]

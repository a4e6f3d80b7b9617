"""The U-Net on range images: what it sees of a voxel is the pixel that the voxel lies in.

Letters: M voxels of the batch, F input features, C channels, P pixels of all images.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from lass3d_core.nets import image_convolution
from lass3d_core.nets.batch_norm import BatchNorm
from lass3d_core.nets.image_convolution import ImagePyramid, Images
from lass3d_core.nets.range_view import RangeView, range_view
from lass3d_core.nets.unet import MinkUNet, UNetConfig
from lass3d_core.sparse.maps import KernelPyramid


class RangeUNet(nn.Module):
    """The voxels of each scan into its range image, a U-Net over the images, and back to every voxel.

    A pixel shows the inputs of its nearest voxel, with the voxel's distance and a mark that there is one; an
    empty pixel shows zeros.
    out_channels: width of the result. levels: how many levels of kernel maps `forward` needs; it reads their
    coordinates alone.

    Decision: the U-Net is that of the voxels, stage by stage and width by width, with kernels of 3x3 in the
    place of 3x3x3: the two views then differ in nothing else. It has a third of the weights, 7.6 M for
    MinkUNet18-w32; FIDNet, which LaserMix has here, has 6.05 M.
    Decision: a voxel behind the one that its pixel shows must not become a copy of it. A layer adds what a
    voxel is by itself, its inputs and how far behind it lies, to what its pixel has gathered. (FIDNet lets
    the neighbours in space vote on the predicted labels, which no loss sees.) With 64 x 2048 pixels, in the
    one KITTI scan that was looked at, a fifth of the voxels of 5 cm lay behind another, a third of these by
    more than a metre.
    Decision: inputs are always standardised, by batch norm over voxels, so that the zeros of an empty pixel
    are nothing out of the ordinary. FIDNet standardises too, by constants of SemanticKITTI.
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
        """features (M,in_channels) of the voxels pyramid.coords[0], the first three of which are a voxel's
        x, y, z in metres from the sensor -> (M,out_channels).
        """
        with torch.autocast(features.device.type, enabled=False):  # coordinates: see precision.py
            view = range_view(features[:, :3], pyramid.coords[0][:, 0], self.image)
            inputs = self.enter(torch.cat([features, view.distance[:, None], view.behind[:, None]], dim=1))
            own = self.own(inputs)
        images = Images(view.scans, self.image.height, self.image.width)
        pixels = self.unet(shown(inputs, view), ImagePyramid.of(images, self.unet.levels))
        return torch.relu_(self.norm(self.seen(pixels[view.pixel]) + own))


def shown(inputs: Tensor, view: RangeView) -> Tensor:
    """What the pixels show (P,F+1) of inputs (M,F): those of their nearest voxel and a 1, or only 0."""
    marked = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], dim=1)
    return torch.cat([marked, marked.new_zeros(1, marked.shape[1])])[view.nearest]

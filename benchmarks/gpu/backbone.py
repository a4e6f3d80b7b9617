"""The backbone alone: ours, one of spconv with the same widths, and dense products of the same size."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.gpu.report import Report
from benchmarks.gpu.work import FEATURES, Case, seconds_of
from lass3d_core import nets
from lass3d_core.compute.precision import autocast
from lass3d_core.nets import UNetConfig
from lass3d_core.sparse.maps import KernelPyramid, unbuilt_pyramid
from train.runs.layers import BatchSize, layers, multiplications

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

_STEP = 64  # voxels: the edge of the coarsest voxel of seven levels


def measure_limit(report: Report, case: Case, device: torch.device, longest: float) -> float:
    """Seconds of one dense product per layer forward and two backward, with as many multiplications.

    No row is gathered and none is summed. Each layer is measured by itself, its memory allocated before.
    """
    net, size = case.config.net, BatchSize.of(case.host_batch)
    products = [one for one in layers(net, size.features) if one.kind != "join"]
    seconds = 0.0
    for layer in products:
        rows = rows_of(layer.kind, layer.level, size)
        seconds += _dense_seconds(rows, layer.cin, layer.cout, case, device, longest / len(products))
    flops = 2 * 3 * multiplications(net, size)
    figures = {"ms": 1e3 * seconds, "TFLOP/s": flops / seconds / 1e12, "share of the limit": 1.0}
    report.add("backbone", precision=case.precision, network="dense products", **figures)
    return seconds


def _dense_seconds(rows: int, cin: int, cout: int, case: Case, device: torch.device, longest: float) -> float:
    dtype = DTYPES[case.precision]
    x = torch.randn(rows, cin, dtype=dtype, device=device)
    y = torch.randn(rows, cout, dtype=dtype, device=device)
    matrix = torch.randn(cin, cout, dtype=dtype, device=device)
    grad_x, grad_matrix, result = torch.empty_like(x), torch.empty_like(matrix), torch.empty_like(y)

    def work() -> None:
        torch.mm(x, matrix, out=result)
        torch.mm(y, matrix.t(), out=grad_x)
        torch.mm(x.t(), y, out=grad_matrix)

    return seconds_of(work, device, longest, most=5)


def rows_of(kind: str, level: int, size: BatchSize) -> int:
    """Rows that a layer multiplies with a matrix. level: of its output."""
    if kind == "submanifold":
        return size.pairs[level]
    return size.voxels[level - 1] if kind == "down" else size.voxels[level]


def measure_ours(report: Report, case: Case, device: torch.device, longest: float, limit: float) -> None:
    """The backbone of the case, forward and backward: on maps that are there already, and with them."""
    config, host = case.config, case.host_batch
    net = nets.make_backbone(config.net, FEATURES[case.preset]).to(device).train()
    built, features = host.pyramid.to(device), host.features.to(device)
    coords_alone = unbuilt_pyramid(built.coords[0], built.levels)

    def work(given: KernelPyramid) -> None:
        pyramid = given.to(device) if given.unbuilt else given
        with autocast(config.precision, device):
            result = net(features, pyramid)
        result.float().square().mean().backward()
        net.zero_grad(set_to_none=True)

    for title, given in (("", built), (", maps included", coords_alone)):
        seconds = seconds_of(partial(work, given), device, longest, most=10)
        _row(report, case, f"ours, {case.backend}{title}", seconds, limit)


def measure_spconv(report: Report, case: Case, device: torch.device, longest: float, limit: float) -> None:
    """spconv's own network with implicit GEMM, in mixed precision. Its time includes its maps."""
    import spconv.pytorch as spconv
    from spconv.core import ConvAlgo

    host = case.host_batch
    net = SpconvUNet(case.config.net, FEATURES[case.preset], ConvAlgo.MaskImplicitGemm).to(device).train()
    coords, features = host.pyramid.coords[0].to(device), host.features.to(device)
    coords, shape = shifted(coords)
    scans = int(coords[:, 0].max()) + 1

    def work() -> None:
        x = spconv.SparseConvTensor(features, coords, shape, scans)
        with autocast(case.config.precision, device):
            result = net(x)
        result.float().square().mean().backward()
        net.zero_grad(set_to_none=True)

    seconds = seconds_of(work, device, longest, most=10)
    _row(report, case, "spconv, implicit GEMM, maps included", seconds, limit)


def _row(report: Report, case: Case, network: str, seconds: float, limit: float) -> None:
    flops = 2 * 3 * multiplications(case.config.net, BatchSize.of(case.host_batch))
    figures = {"ms": 1e3 * seconds, "TFLOP/s": flops / seconds / 1e12, "share of the limit": limit / seconds}
    report.add("backbone", precision=case.precision, network=network, **figures)


def shifted(coords: Tensor) -> tuple[Tensor, list[int]]:
    """coords (M,4) moved until none is negative, and the size of the grid. Even steps keep the parents."""
    low = torch.div(coords[:, 1:].amin(0), _STEP, rounding_mode="floor") * _STEP
    moved = torch.cat([coords[:, :1], coords[:, 1:] - low], dim=1).int().contiguous()
    return moved, [(int(one) // _STEP + 1) * _STEP for one in moved[:, 1:].amax(0)]


class SpconvUNet(nn.Module):
    """MinkUNet of lass3d_core/nets/unet.py in spconv's own layers. It returns the features of level 0."""

    def __init__(self, config: UNetConfig, in_channels: int, algo: Any) -> None:
        super().__init__()
        self._algo = algo
        self.stem = nn.ModuleList(
            self._unit(self._subm(cin, config.stem, 0), config.stem) for cin in (in_channels, config.stem)
        )
        widths = (config.stem, *config.encoder)
        self.down, self.encoder, self.up, self.decoder = (nn.ModuleList() for _ in range(4))
        for level, (cin, cout) in enumerate(itertools.pairwise(widths), start=1):
            self.down.append(self._unit(self._strided(cin, level), cin))
            self.encoder.append(self._blocks(cin, cout, level, config.blocks))
        coarser = (config.encoder[-1], *config.decoder)
        for level, cin, cout in zip(reversed(range(len(config.encoder))), coarser, config.decoder):
            self.up.append(self._unit(self._inverse(cin, cout, level + 1), cout))
            self.decoder.append(self._blocks(cout + widths[level], cout, level, config.blocks))

    def forward(self, x: Any) -> Tensor:
        for unit in self.stem:
            x = unit(x)
        skips = []
        for down, blocks in zip(self.down, self.encoder):
            skips.append(x)
            x = blocks(down(x))
        for up, blocks in zip(self.up, self.decoder):
            x = up(x)
            x = blocks(x.replace_feature(torch.cat([x.features, skips.pop().features], dim=1)))
        features: Tensor = x.features
        return features

    def _subm(self, cin: int, cout: int, level: int) -> nn.Module:
        from spconv.pytorch import SubMConv3d

        made: nn.Module = SubMConv3d(cin, cout, 3, bias=False, indice_key=f"level{level}", algo=self._algo)
        return made

    def _strided(self, width: int, level: int) -> nn.Module:
        from spconv.pytorch import SparseConv3d

        key = f"down{level}"
        made: nn.Module = SparseConv3d(width, width, 2, 2, bias=False, indice_key=key, algo=self._algo)
        return made

    def _inverse(self, cin: int, cout: int, level: int) -> nn.Module:
        from spconv.pytorch import SparseInverseConv3d

        key = f"down{level}"
        made: nn.Module = SparseInverseConv3d(cin, cout, 2, indice_key=key, bias=False, algo=self._algo)
        return made

    def _unit(self, convolution: nn.Module, width: int) -> nn.Module:
        return _Unit(convolution, width)

    def _blocks(self, cin: int, cout: int, level: int, count: int) -> nn.Module:
        blocks = []
        for width in (cin, *[cout] * (count - 1)):
            first = self._unit(self._subm(width, cout, level), cout)
            blocks.append(_Block(first, self._subm(cout, cout, level), width, cout))
        return nn.Sequential(*blocks)


class _Unit(nn.Module):
    """A convolution, batch norm, ReLU."""

    def __init__(self, convolution: nn.Module, width: int) -> None:
        super().__init__()
        self.convolution, self.norm = convolution, nn.BatchNorm1d(width)

    def forward(self, x: Any) -> Any:
        x = self.convolution(x)
        return x.replace_feature(torch.relu_(self.norm(x.features)))


class _Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, first: nn.Module, second: nn.Module, cin: int, cout: int) -> None:
        super().__init__()
        self.first, self.second, self.norm = first, second, nn.BatchNorm1d(cout)
        linear = nn.Sequential(nn.Linear(cin, cout, bias=False), nn.BatchNorm1d(cout))
        self.shortcut = nn.Identity() if cin == cout else linear

    def forward(self, x: Any) -> Any:
        y = self.second(self.first(x))
        return y.replace_feature(torch.relu_(self.norm(y.features) + self.shortcut(x.features)))

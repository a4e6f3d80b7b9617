from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn

from lass3d_core.nets import UNetConfig, make_backbone
from lass3d_core.nets.range_unet import shown
from lass3d_core.nets.range_view import RangeImageConfig, range_view
from lass3d_core.sparse.maps import KernelPyramid, build_pyramid
from lass3d_core.sparse.voxels import collate, mean_by_voxel, voxelise

SMALL = UNetConfig(
    stem=6,
    encoder=(8, 10),
    decoder=(9, 7),
    blocks=1,
    view="range",
    image=RangeImageConfig(8, 32, (-40.0, 40.0)),
)


def scan(seed: int, points: int = 400) -> tuple[Tensor, Tensor]:
    """Features (M,4), of which x, y and z in metres are the first, and voxels of 0.2 m (M,3)."""
    generator = torch.Generator().manual_seed(seed)
    cloud = torch.randn(points, 4, generator=generator) * torch.tensor([5.0, 5.0, 2.0, 1.0])
    voxels = voxelise(cloud[:, :3], 0.2)
    return mean_by_voxel(cloud, voxels), voxels.coords


def batch(*scans: tuple[Tensor, Tensor]) -> tuple[Tensor, KernelPyramid]:
    features, coords = zip(*scans)
    return torch.cat(features), build_pyramid(collate(coords), 1)


def small_net() -> nn.Module:
    torch.manual_seed(0)
    net = make_backbone(SMALL, in_channels=4)
    features, pyramid = batch(scan(8), scan(9))
    for _ in range(3):  # running statistics that are not those of the start
        net(features, pyramid)
    return net


def test_output_has_a_row_per_voxel_and_one_level_is_enough() -> None:
    net, (features, pyramid) = small_net(), batch(scan(1), scan(2))
    assert (net.levels, net.out_channels, SMALL.levels) == (1, 7, 1)
    result = net(features, pyramid)
    assert result.shape == (len(features), 7) and torch.isfinite(result).all()


def test_widths_of_minkunet18_make_7_6_million_parameters() -> None:
    net = make_backbone(UNetConfig(view="range"), in_channels=4)
    assert sum(parameter.numel() for parameter in net.parameters()) == 7_576_288


def test_empty_pixels_show_zeros_and_the_others_their_nearest_voxel() -> None:
    inputs = torch.tensor([[5.0, 1.0], [6.0, 2.0], [7.0, 3.0]])
    points = torch.tensor([[9.0, 1.0, 0.0], [4.0, 0.5, 0.0], [-4.0, 1.0, 0.0]])
    view = range_view(points, torch.zeros(3), RangeImageConfig(1, 4, (-40.0, 40.0)))
    assert shown(inputs, view).tolist() == [[7, 3, 1], [6, 2, 1], [0, 0, 0], [0, 0, 0]]


def test_two_scans_in_a_batch_are_two_scans_one_by_one() -> None:
    net = small_net().eval()
    alone = torch.cat([net(*batch(one)) for one in (scan(1), scan(2))])
    torch.testing.assert_close(net(*batch(scan(1), scan(2))), alone)


@pytest.mark.parametrize("training", [True, False])
def test_order_of_voxels_does_not_matter(training: bool) -> None:
    net = small_net().double().train(training)
    features, pyramid = batch(scan(1), scan(2))
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(2))
    straight = net(features.double(), pyramid)
    shuffled = net(features.double()[order], build_pyramid(pyramid.coords[0][order], 1))
    torch.testing.assert_close(straight[order], shuffled, rtol=0, atol=1e-10)


def test_a_voxel_behind_another_is_no_copy_of_it() -> None:
    net = small_net().eval()
    features = torch.tensor([[4.0, 1.0, 0.1, 0.5], [8.0, 2.0, 0.2, -0.5], [8.0, 2.0, 0.2, 0.5]])
    coords = torch.tensor([[0, 20, 5, 0], [0, 40, 10, 1], [0, 41, 10, 1]], dtype=torch.int32)
    near, far, other = net(features, build_pyramid(coords, 1))
    assert not torch.allclose(near, far) and not torch.allclose(far, other)


def test_what_lies_across_the_seam_is_a_neighbour() -> None:
    """All voxels but one lie left of the seam; the one on its other side is moved by a metre."""
    net = small_net().eval()
    behind = [[-10.0, 0.5 + 0.5 * step, 0.0, 0.0] for step in range(4)]
    coords = torch.tensor([[0, -50, place, 0] for place in (-3, 2, 5, 7, 10)], dtype=torch.int32)
    results = [
        net(torch.tensor([[-distance, -0.5, 0.0, 0.0], *behind]), build_pyramid(coords, 1))
        for distance in (10.0, 11.0)
    ]
    assert (results[0][1] - results[1][1]).abs().max() > 1e-4


def test_every_parameter_gets_a_gradient() -> None:
    net = small_net()
    net.zero_grad()
    net(*batch(scan(1), scan(2))).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_gradient_is_that_of_finite_differences() -> None:
    net = small_net().double().eval()
    features, pyramid = batch(scan(1, 40))
    features = features.double()
    weight = net.unet.stem[0].conv.conv.weight
    net(features, pyramid).square().sum().backward()
    with torch.no_grad():
        for place in [(0, 0, 1, 1), (3, 6, 0, 2), (5, 4, 2, 0)]:
            values = []
            for step in (1e-6, -2e-6):
                weight[place] += step
                values.append(net(features, pyramid).square().sum())
            weight[place] += 1e-6
            assert weight.grad is not None
            torch.testing.assert_close(
                (values[0] - values[1]) / 2e-6, weight.grad[place], rtol=1e-4, atol=1e-6
            )


def test_gradient_stays_within_its_scan() -> None:
    net, (features, pyramid) = small_net().eval(), batch(scan(1), scan(2))
    features.requires_grad_()
    number = pyramid.coords[0][:, 0]
    net(features, pyramid)[number == 0].sum().backward()
    assert features.grad is not None
    assert features.grad[number == 0].abs().sum() > 0 and not features.grad[number == 1].any()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_tiny_scans_train_to_finite_numbers(count: int) -> None:
    torch.manual_seed(0)
    net = make_backbone(SMALL, in_channels=4)
    net(*batch(scan(1, count))).sum().backward()
    assert all(torch.isfinite(tensor).all() for tensor in net.state_dict().values())
    assert all(torch.isfinite(parameter.grad).all() for parameter in net.parameters())


def test_no_voxels_give_no_rows() -> None:
    net = small_net()
    pyramid = build_pyramid(torch.zeros(0, 4, dtype=torch.int32), 1)
    assert net(torch.zeros(0, 4), pyramid).shape == (0, 7)


def test_autocast_stays_close_to_float32() -> None:
    net, (features, pyramid) = small_net().eval(), batch(scan(1), scan(2))
    exact = net(features, pyramid)
    with torch.autocast("cpu", torch.bfloat16):
        rough = net(features, pyramid)
    assert float((rough.float() - exact).detach().norm() / exact.detach().norm()) < 0.05


def test_an_image_that_cannot_be_halved_often_enough_is_refused() -> None:
    with pytest.raises(ValueError, match="6 x 32 pixels cannot be halved 2 times"):
        dataclasses.replace(SMALL, image=RangeImageConfig(6, 32))


def test_kinds_kept_apart_are_two_passes_one_after_the_other() -> None:
    net, (features, pyramid) = small_net(), batch(scan(1), scan(2), scan(3))
    twin = copy.deepcopy(net)
    apart = build_pyramid(pyramid.coords[0], 1, first_scans=2)
    found = net(features, apart)
    expected = torch.cat([twin(*batch(scan(1), scan(2))), twin(*batch(scan(3)))])
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, copy.deepcopy(twin)(features, pyramid), atol=0.1)
    for name, value in net.named_buffers():
        torch.testing.assert_close(value, twin.get_buffer(name), msg=name)

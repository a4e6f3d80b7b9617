from __future__ import annotations

import copy
import dataclasses
import io

import pytest
import torch
from torch import Tensor

from lass3d_core.errors import UnknownName
from lass3d_core.nets import make_backbone
from lass3d_core.nets.unet import BatchNorm, UNetConfig
from lass3d_core.sparse.maps import KernelPyramid, build_pyramid

SMALL = UNetConfig(stem=6, encoder=(8, 10), decoder=(9, 7), blocks=1)


def random_coords(seed: int, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randperm(2 * 8**3, generator=generator)[:count]
    return torch.stack(torch.unravel_index(cells, (2, 8, 8, 8)), dim=1).int()


def small_case(count: int = 150) -> tuple[torch.nn.Module, Tensor, KernelPyramid]:
    torch.manual_seed(0)
    net = make_backbone(SMALL, in_channels=4)
    return net, torch.randn(count, 4), build_pyramid(random_coords(1, count), net.levels)


def test_output_has_a_row_per_voxel_and_the_last_decoder_width() -> None:
    net, features, pyramid = small_case()
    assert (net.levels, net.out_channels) == (3, 7)
    result = net(features, pyramid)
    assert result.shape == (150, 7) and torch.isfinite(result).all()


def test_default_is_minkunet18_of_21_7_million_parameters() -> None:
    net = make_backbone(UNetConfig(), in_channels=4)
    assert sum(parameter.numel() for parameter in net.parameters()) == 21_721_472
    assert (net.levels, net.out_channels) == (5, 96)


def test_every_parameter_gets_a_gradient() -> None:
    net, features, pyramid = small_case()
    net(features, pyramid).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("training", [True, False])
def test_order_of_voxels_does_not_matter(training: bool) -> None:
    net, features, pyramid = small_case()
    net.double().train(training)
    order = torch.randperm(150, generator=torch.Generator().manual_seed(2))
    straight = net(features.double(), pyramid)
    shuffled = net(features.double()[order], build_pyramid(pyramid.coords[0][order], net.levels))
    torch.testing.assert_close(straight[order], shuffled, rtol=0, atol=1e-10)


def test_shift_by_a_whole_coarsest_voxel_does_not_matter() -> None:
    net, features, pyramid = small_case()
    shifted = pyramid.coords[0] + torch.tensor([0, -4, 8, -12], dtype=torch.int32)
    torch.testing.assert_close(net(features, pyramid), net(features, build_pyramid(shifted, net.levels)))


def test_gradient_stays_within_its_scan() -> None:
    net, features, pyramid = small_case()
    net.eval()
    features.requires_grad_()
    scan = pyramid.coords[0][:, 0]
    net(features, pyramid)[scan == 0].sum().backward()
    assert features.grad is not None
    assert features.grad[scan == 0].abs().sum() > 0 and not features.grad[scan == 1].any()


def test_checkpoint_gives_the_same_outputs() -> None:
    net, features, pyramid = small_case()
    net(features, pyramid)
    file = io.BytesIO()
    torch.save(net.state_dict(), file)
    file.seek(0)
    torch.manual_seed(99)
    other = make_backbone(SMALL, in_channels=4)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(net.eval()(features, pyramid), other.eval()(features, pyramid))


@pytest.mark.parametrize("count", [1, 2, 5])
def test_tiny_scans_train_to_finite_numbers(count: int) -> None:
    net, features, pyramid = small_case(count)
    net(features, pyramid).sum().backward()
    assert all(torch.isfinite(tensor).all() for tensor in net.state_dict().values())
    assert all(torch.isfinite(parameter.grad).all() for parameter in net.parameters())


def test_no_voxels_give_no_rows() -> None:
    net, features, pyramid = small_case(0)
    assert net(features, pyramid).shape == (0, 7)


def test_autocast_stays_close_to_float32() -> None:
    net, features, pyramid = small_case()
    net.eval()
    exact = net(features, pyramid)
    with torch.autocast("cpu", torch.bfloat16):
        rough = net(features, pyramid)
    assert float((rough.float() - exact).detach().norm() / exact.detach().norm()) < 0.05


def test_batch_norm_is_pytorchs_for_two_rows_or_more() -> None:
    x = torch.randn(9, 4)
    ours, theirs = BatchNorm(4), torch.nn.BatchNorm1d(4)
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.running_var, theirs.running_var)


def test_batch_norm_of_one_row_leaves_the_statistics_alone() -> None:
    norm = BatchNorm(4)
    assert torch.allclose(norm(torch.full((1, 4), 3.0)), torch.full((1, 4), 3.0), atol=1e-4)
    assert torch.equal(norm.running_mean, torch.zeros(4)) and torch.equal(norm.running_var, torch.ones(4))


@pytest.mark.parametrize(
    "wrong",
    [{"encoder": (8,)}, {"encoder": (), "decoder": ()}, {"stem": 0}, {"blocks": 0}, {"decoder": (8, -1)}],
)
def test_impossible_widths_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"encoder|stem|blocks|decoder"):
        dataclasses.replace(SMALL, **wrong)


def test_unknown_backend_is_named() -> None:
    with pytest.raises(UnknownName, match="reference"):
        make_backbone(dataclasses.replace(SMALL, backend="cuda-magic"), in_channels=4)


def test_kinds_kept_apart_are_two_passes_one_after_the_other() -> None:
    """Output, gradients and running statistics; level 0 has the rows of the first scan first."""
    net, features, pyramid = small_case()
    twin = copy.deepcopy(net)
    order = pyramid.coords[0][:, 0].argsort(stable=True)
    coords, features = pyramid.coords[0][order], features[order]
    first = coords[:, 0] < 1
    found = net(features, build_pyramid(coords, net.levels, first_scans=1))
    passes = [twin(features[rows], build_pyramid(coords[rows], net.levels)) for rows in (first, ~first)]
    expected = torch.cat(passes)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(
        found, copy.deepcopy(twin)(features, build_pyramid(coords, net.levels)), atol=0.1
    )
    found.square().sum().backward()
    expected.square().sum().backward()
    for (name, one), other in zip(net.named_parameters(), twin.parameters()):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-3, msg=name)
    for name, value in net.named_buffers():
        torch.testing.assert_close(value, twin.get_buffer(name), msg=name)

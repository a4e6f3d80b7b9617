from __future__ import annotations

import pytest
import torch

from lass3d_core.paper.adapter import AdapterConfig, FusionAdapter, normalised


def test_fresh_adapter_only_normalises() -> None:
    features = torch.randn(5, 6)
    torch.testing.assert_close(FusionAdapter(AdapterConfig(), 6)(features), normalised(features))


def test_output_has_zero_mean_and_unit_variance_per_point() -> None:
    adapter = FusionAdapter(AdapterConfig(hidden=7), 64)
    torch.nn.init.normal_(adapter.leave.weight)
    f_ada = adapter(torch.randn(5, 64) * 3 + 1)
    torch.testing.assert_close(f_ada.mean(dim=1), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(f_ada.var(dim=1, correction=0), torch.ones(5), atol=1e-3, rtol=0)


def test_first_gradient_reaches_the_last_layer() -> None:
    adapter = FusionAdapter(AdapterConfig(hidden=7), 6)
    (adapter(torch.randn(5, 6)) * torch.randn(5, 6)).sum().backward()
    assert float(adapter.leave.weight.grad.abs().max()) > 0


def test_hidden_width_must_be_positive() -> None:
    with pytest.raises(ValueError, match="hidden"):
        AdapterConfig(hidden=0)

"""From a run to its model file."""

from __future__ import annotations

from dataclasses import replace

from lass3d_core.nets.unet import UNetConfig
from train.runs.finished_model import network_of


def test_a_model_file_names_neither_the_kernels_nor_the_start_of_its_run() -> None:
    net = UNetConfig(stem=16)
    assert network_of(replace(net, backend="triton", init="other.safetensors")) == net

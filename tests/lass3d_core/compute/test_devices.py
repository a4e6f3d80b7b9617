from __future__ import annotations

import os

import pytest
import torch

from lass3d_core.compute import devices
from lass3d_core.compute.devices import deterministic, device_of_process, exchange_of, take_device
from lass3d_core.errors import BackendUnavailable


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """As on a machine with two GPUs. Holds the devices that were made current."""
    taken: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    return taken


def test_gpus_exchange_by_nccl_and_cpus_by_gloo() -> None:
    assert (exchange_of("cuda"), exchange_of("cpu")) == ("nccl", "gloo")


def test_each_process_of_a_machine_has_the_gpu_of_its_place(two_gpus, monkeypatch) -> None:
    for place in ("0", "1"):
        monkeypatch.setenv("LOCAL_RANK", place)
        take_device(device_of_process())
    assert two_gpus == [torch.device("cuda", 0), torch.device("cuda", 1)]


def test_a_process_without_a_gpu_of_its_own_is_one_clear_line(two_gpus, monkeypatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(BackendUnavailable, match=r"process 2 of this machine needs a GPU .* there are 2"):
        device_of_process()


def test_without_a_gpu_every_process_has_the_cpu_and_takes_nothing(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "set_device", None)
    take_device(device_of_process())
    assert device_of_process() == torch.device("cpu")


def test_deterministic_algorithms_are_chosen_inside_the_block_alone(monkeypatch) -> None:
    monkeypatch.delenv(devices._WORKSPACE, raising=False)
    with deterministic(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert os.environ[devices._WORKSPACE] == ":4096:8"
    assert not torch.are_deterministic_algorithms_enabled() and devices._WORKSPACE not in os.environ


def test_a_workspace_that_the_user_chose_stays(monkeypatch) -> None:
    monkeypatch.setenv(devices._WORKSPACE, ":16:8")
    with deterministic(True):
        assert os.environ[devices._WORKSPACE] == ":16:8"
    assert os.environ[devices._WORKSPACE] == ":16:8"


def test_nothing_changes_unless_it_is_wanted(monkeypatch) -> None:
    monkeypatch.delenv(devices._WORKSPACE, raising=False)
    with deterministic(False):
        assert not torch.are_deterministic_algorithms_enabled() and devices._WORKSPACE not in os.environ


def test_an_operation_without_a_deterministic_form_is_one_clear_line() -> None:
    refused = pytest.raises(BackendUnavailable, match=r"put_.* leave out deterministic=true")
    with refused as raised, deterministic(True):
        torch.zeros(3).put_(torch.tensor([0]), torch.tensor([1.0]), accumulate=False)
    assert "\n" not in str(raised.value)


def test_another_fault_keeps_its_own_error() -> None:
    with pytest.raises(RuntimeError, match="shape"), deterministic(True):
        torch.zeros(2, 3) @ torch.zeros(2, 3)

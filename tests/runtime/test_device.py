"""Devices and precision."""

from __future__ import annotations

import pytest
import torch

from mmupt.errors import ConfigError
from mmupt.runtime.device import autocast, pick_device


def test_auto_and_cpu() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "meta", "mps", "", "cuda:99", "cpu:x", "cuda:-1"])
def test_what_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.device"):
        pick_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_named() -> None:
    with pytest.raises(ConfigError, match=r'"cuda" is not there: this machine has 0 CUDA devices'):
        pick_device("cuda")


def test_autocast() -> None:
    linear, x = torch.nn.Linear(2, 2), torch.ones(1, 2)
    with autocast(torch.device("cpu"), torch.float32):
        assert linear(x).dtype == torch.float32
    with autocast(torch.device("cpu"), torch.bfloat16):
        assert linear(x).dtype == torch.bfloat16
    with pytest.raises(ConfigError, match="float16"):
        autocast(torch.device("cpu"), torch.float16)

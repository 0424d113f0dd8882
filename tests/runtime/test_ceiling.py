"""The measured ceiling: a finite number of a size that some machine could have; how large is the machine's business."""

from __future__ import annotations

import pytest
import torch

from mmupt.runtime.ceiling import matmul_ceiling


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_ceiling_is_found(dtype: torch.dtype) -> None:
    assert 1e6 < matmul_ceiling(torch.device("cpu"), dtype, seconds=0.01) < 1e18


def test_randomness_of_a_run_is_left_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    matmul_ceiling(torch.device("cpu"), torch.float32, seconds=0.01)
    assert torch.equal(before, torch.get_rng_state())

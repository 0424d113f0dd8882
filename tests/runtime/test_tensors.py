"""Trees of tensors: bit for bit, without pickle."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from mmupt.errors import RunFolderError
from mmupt.runtime.tensors import load_tensors, save_tensors


def assert_same(a: object, b: object) -> None:
    assert type(a) is type(b)
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.contiguous().view(-1).view(torch.uint8).tolist() == b.contiguous().view(-1).view(torch.uint8).tolist()
    elif isinstance(a, dict) and isinstance(b, dict):
        assert [(type(k), k) for k in a] == [(type(k), k) for k in b]
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, float) and isinstance(b, float):
        assert a.hex() == b.hex()
    else:
        assert a == b


def test_adamw_continues_bit_for_bit(tmp_path: Path) -> None:
    def model() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 2))

    def steps(net: nn.Module, optimizer: torch.optim.Optimizer, numbers: range) -> None:
        for number in numbers:
            optimizer.zero_grad()
            net(torch.randn(4, 5, generator=torch.Generator().manual_seed(number))).square().mean().backward()
            optimizer.step()

    net = model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1 / 3, betas=(0.9, 0.99), amsgrad=True)
    steps(net, optimizer, range(3))
    save_tensors(tmp_path / "optimizer.safetensors", optimizer.state_dict())
    save_tensors(tmp_path / "model.safetensors", net.state_dict())
    restored = load_tensors(tmp_path / "optimizer.safetensors")
    assert_same(optimizer.state_dict(), restored)
    steps(net, optimizer, range(3, 6))

    other = model()
    other.load_state_dict(load_tensors(tmp_path / "model.safetensors"))  # type: ignore[arg-type]
    resumed = torch.optim.AdamW(other.parameters())
    resumed.load_state_dict(restored)  # type: ignore[arg-type]
    steps(other, resumed, range(3, 6))
    assert_same(dict(net.state_dict()), dict(other.state_dict()))
    assert_same(optimizer.state_dict(), resumed.state_dict())


def test_everything_comes_back_as_it_was(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    tree = {
        0: {"step": torch.tensor(3.0), "exp_avg": base.to(torch.bfloat16)},
        "0": [None, True, 1, 1.0, -0.0, 0.1, 2**80, "\ud800 ü", math.inf, -math.inf, math.nan],
        True: (1, (2, [])),
        1.5: {},
        None: "none",
        "views": [base, base, base.T, base[1], base[:, 1], base.expand(2, 3, 4)],
        "kinds": [
            torch.tensor([1, -1], dtype=kind) for kind in (torch.int8, torch.int64, torch.float16, torch.float64)
        ],
        "bits": torch.tensor([math.nan, -math.nan, -0.0, 1e-45]),
        "bool": torch.tensor([True, False]),
        "empty": [torch.empty(0), torch.empty(0, 3), torch.empty(0)],
        "bytes": torch.get_rng_state(),
    }
    save_tensors(tmp_path / "x", tree)
    assert_same(load_tensors(tmp_path / "x"), tree)
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_parameters_come_back_as_tensors_and_inputs_are_left_alone(tmp_path: Path) -> None:
    parameter = nn.Parameter(torch.ones(2))
    save_tensors(tmp_path / "x", [parameter])
    assert_same(load_tensors(tmp_path / "x"), [torch.ones(2)])
    assert parameter.requires_grad


@pytest.mark.parametrize("leaf", [{1, 2}, b"x", object(), torch.float32, torch.eye(2).to_sparse()])
def test_what_would_not_come_back_is_refused(tmp_path: Path, leaf: object) -> None:
    with pytest.raises(TypeError):
        save_tensors(tmp_path / "x", {"a": [leaf]})
    assert list(tmp_path.iterdir()) == []


def test_missing_foreign_and_damaged_files(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    with pytest.raises(RunFolderError, match="x: is missing"):
        load_tensors(tmp_path / "x")
    save_file({"a": torch.ones(1)}, tmp_path / "x")
    with pytest.raises(RunFolderError, match="not written by mmupt"):
        load_tensors(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"no tensors at all")
    with pytest.raises(RunFolderError, match="damaged"):
        load_tensors(tmp_path / "x")

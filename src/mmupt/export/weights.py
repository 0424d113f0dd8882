"""Weights from one Hugging Face folder to another, a tensor at a time: cast, cut into shards, compared afterwards.

No more than a shard is ever in memory.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mmupt.errors import ModelError

Dtype = Literal["bfloat16", "float16", "float32", "keep"]
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors of a folder by name, read when they are asked for. Names keep the order of the files."""

    files: Mapping[str, Any]
    """Each name's open file."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.files)

    def __getitem__(self, name: str) -> Tensor:
        return self.files[name].get_tensor(name)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.files[name].get_slice(name).get_shape())


@contextmanager
def open_weights(folder: Path) -> Iterator[Weights]:
    """The safetensors weights of a Hugging Face folder, one file or shards. ModelError where they are missing, damaged
    or not what the index says."""
    with ExitStack() as stack:
        try:
            listed = _listed(folder)
            opened = {
                file: stack.enter_context(safe_open(folder / file, framework="pt", device="cpu"))
                for file in dict.fromkeys(listed.values())
            }
            held = {name: file for file in opened for name in opened[file].keys()}  # noqa: SIM118  (not a dict)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise ModelError(f"{folder}: its weights cannot be read ({error})") from error
        if listed != held:
            raise ModelError(f"{folder}: {INDEX} and the shards do not hold the same tensors")
        yield Weights({name: opened[file] for name, file in held.items()})


def _listed(folder: Path) -> dict[str, str]:
    """Each tensor's file, as the index has it; of a single file, what it holds."""
    index = folder / INDEX
    if index.is_file():
        return dict(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
    with safe_open(folder / SINGLE, framework="pt", device="cpu") as file:
        return dict.fromkeys(file.keys(), SINGLE)


def cast(name: str, tensor: Tensor, dtype: Dtype) -> Tensor:
    """`tensor` in `dtype`; what is not a float stays as it is. ModelError where a number does not fit."""
    if not tensor.is_floating_point():
        return tensor
    if not bool(tensor.isfinite().all()):
        raise ModelError(
            f"{name}: holds values that are not finite, so the model is broken; export an older checkpoint"
        )
    if dtype == "keep":
        return tensor
    there = tensor.to(getattr(torch, dtype))
    if not bool(there.isfinite().all()):
        raise ModelError(f"{name}: holds {tensor.abs().max():.3g}, too large for {dtype}; take --dtype bfloat16")
    return there


def copy_weights(weights: Weights, out: Path, dtype: Dtype, shard_bytes: int) -> list[str]:
    """Writes all tensors into `out` in shards of at most `shard_bytes` (a larger tensor is a shard of its own), with
    an index where there are several; returns the names of the files."""
    shards = plan_shards([(name, _num_bytes(weights, name, dtype)) for name in weights.names], shard_bytes)
    files = [f"model-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)]
    files = [SINGLE] if len(shards) == 1 else files
    total = 0
    for file, shard in zip(files, shards, strict=True):
        tensors = {name: cast(name, weights[name], dtype).contiguous() for name in shard}
        total += sum(tensor.nbytes for tensor in tensors.values())
        save_file(tensors, out / file, metadata={"format": "pt"})
    if len(shards) > 1:
        where = {name: file for file, shard in zip(files, shards, strict=True) for name in shard}
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(where.items()))}
        (out / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return files


def num_bytes(weights: Weights, dtype: Dtype) -> int:
    """What all tensors take in `dtype`."""
    return sum(_num_bytes(weights, name, dtype) for name in weights.names)


def plan_shards(sizes: Sequence[tuple[str, int]], limit: int) -> list[list[str]]:
    """Names in their order, cut where the next tensor would exceed `limit` bytes.

    >>> plan_shards([("a", 6), ("b", 3), ("c", 2), ("d", 9)], limit=9)
    [['a', 'b'], ['c'], ['d']]
    """
    shards: list[list[str]] = []
    room = 0
    for name, size in sizes:
        if not shards or size > room:
            shards.append([])
            room = limit
        shards[-1].append(name)
        room -= size
    return shards


def compare_weights(source: Weights, out: Path, dtype: Dtype) -> int:
    """Reads what was written once more and compares every tensor with its source; returns how many there are.

    With "keep" all must be equal; else the difference may be half a unit in the last place, 2^-p of the number for a
    precision of p bits (and half the smallest number there is, below the normal ones). ModelError names a tensor that
    differs.
    """
    with open_weights(out) as written:
        if set(written.names) != set(source.names):
            raise ModelError(f"{out}: does not hold the tensors that were to be written; the disk is not to be trusted")
        for name in source.names:
            if not _same(source[name], written[name], dtype):
                raise ModelError(f"{out}: {name} differs from the checkpoint; the disk is not to be trusted")
    return len(source.names)


def _same(source: Tensor, written: Tensor, dtype: Dtype) -> bool:
    if source.shape != written.shape:
        return False
    if dtype == "keep" or not source.is_floating_point():
        return source.dtype == written.dtype and torch.equal(source, written)
    if written.dtype != getattr(torch, dtype):
        return False
    info = torch.finfo(written.dtype)
    exact = source.double()
    allowed = (exact.abs() * info.eps / 2).clamp(min=info.smallest_normal * info.eps / 2)
    return bool(((written.double() - exact).abs() <= allowed).all())


def _num_bytes(weights: Weights, name: str, dtype: Dtype) -> int:
    meta = weights.files[name].get_slice(name)
    kind = str(meta.get_dtype())
    width = _bits(kind) // 8 if dtype == "keep" or "F" not in kind else int(getattr(torch, dtype).itemsize)
    return math.prod(meta.get_shape()) * width


def _bits(kind: str) -> int:
    """Of safetensors' name of a dtype: "BF16" has 16, "F8_E4M3" 8, "BOOL" 8."""
    return 8 if kind == "BOOL" else int(kind.lstrip("BFIU").partition("_")[0])

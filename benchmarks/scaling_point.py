"""One point of benchmarks/scaling.py: a group's forward and backward, ours and the naive way, in this process.

Suffixes: G completions of R tokens each behind one prompt of P tokens; T = G R completion tokens.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from peers.tiny_qwen import FILLER, VOCABULARY, save_tiny_qwen
from PIL import Image
from torch import Tensor, nn
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mmupt.algo.packing import PackItem, pack
from mmupt.models.families.base import PixelLimits
from mmupt.models.families.qwen_vl import QwenVL
from mmupt.models.flops import (
    GroupLengths,
    ModelShape,
    Trained,
    backward_flops,
    packed_forward,
    picture_grids,
    repeated_forward,
)
from mmupt.models.forward import policy_logprobs
from mmupt.models.loading import load_model
from mmupt.models.settings import ModelSettings
from mmupt.runtime.ceiling import matmul_ceiling
from mmupt.runtime.phases import peak_memory

PATCH = 28  # pixels along the side of a merged patch, one token
PICTURE = 0.9  # of the prompt's tokens, at most
BATCHES = 1, 4  # rollouts in a micro-batch of the naive way
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Point:
    """What is measured: G completions of R tokens behind a prompt of P tokens."""

    group: int
    prompt: int
    completion: int

    @property
    def picture(self) -> tuple[int, int]:
        """Rows and columns of merged patches, nearly square."""
        rows = math.isqrt(int(PICTURE * self.prompt))
        return rows, int(PICTURE * self.prompt) // rows


WARM_UP = Point(group=2, prompt=100, completion=16)  # what every process does first: threads, kernels, their pages


def build_model(folder: Path) -> None:
    """4.3M parameters."""
    save_tiny_qwen(folder, Qwen2VLImageProcessorPil(), intermediate_size=704)


def build_group(family: Any, point: Point) -> PackItem:
    """A picture of noise, a question that makes the prompt exactly P tokens long, random completions."""
    rng = np.random.default_rng((point.group, point.prompt, point.completion))
    rows, columns = point.picture
    pixels = rng.integers(0, 256, (rows * PATCH, columns * PATCH, 3), np.uint8)
    picture = family.picture(Image.fromarray(pixels), PixelLimits(PATCH**2, pixels.size))

    def encode(fillers: int) -> Any:
        parts = [{"type": "image"}, {"type": "text", "text": FILLER * fillers}]
        return family.encode([{"role": "user", "content": parts}], [picture])

    encoded = encode(point.prompt - encode(0).length)
    if encoded.length != point.prompt:
        raise SystemExit(f"a prompt of {point.prompt} tokens came out with {encoded.length}")
    ids = sorted(set(range(VOCABULARY)) - set(family.banned_ids))
    return PackItem(encoded, rng.choice(ids, (point.group, point.completion)).tolist())


def weights(item: PackItem) -> Tensor:
    """f32[G, R], what the gradients of the loss sum(weight x log-prob) are taken with: any would do."""
    shape = len(item.completions), len(item.completions[0])
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)) / math.prod(shape)


class Packed:
    """Ours: the group in one row, as an update does it. One step a group."""

    def __init__(self, folder: str) -> None:
        self.loaded = load_model(folder, ModelSettings(path=folder, device="cpu"), CPU)
        self.model: Any = self.loaded.model

    def steps(self, item: PackItem) -> Iterator[None]:
        logprobs_T = policy_logprobs(self.loaded, pack([item])).logprobs_T
        (logprobs_T * weights(item).flatten()).sum().backward()
        yield


class Repeated:
    """The naive way, as strong as transformers' own forward makes it: `batch` rollouts at a time, each with the prompt
    and the picture again, logits of the completions alone, and no mask, which equal lengths do not need. One step a
    micro-batch, so that no more than one is ever in memory."""

    def __init__(self, folder: str, batch: int = 1) -> None:
        self.model: Any = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="sdpa"
        ).eval()
        self.batch = batch

    def steps(self, item: PackItem) -> Iterator[None]:
        (picture,) = item.encoded.pictures
        completions_GR, weights_GR = torch.tensor(item.completions), weights(item)
        for target_BR, weights_BR in zip(completions_GR.split(self.batch), weights_GR.split(self.batch), strict=True):
            count, length = target_BR.shape
            ids = torch.cat([item.encoded.token_ids.expand(count, -1), target_BR], dim=1)
            logits_BRV = self.model(
                input_ids=ids,
                mm_token_type_ids=(ids == self.model.config.image_token_id).int(),
                pixel_values=picture.tensors["pixel_values"].repeat(count, 1),
                image_grid_thw=picture.tensors["image_grid_thw"].repeat(count, 1),
                use_cache=False,
                logits_to_keep=length + 1,
            ).logits[:, :-1]
            logprobs_BR = logits_BRV.log_softmax(-1).gather(-1, target_BR[..., None])[..., 0]
            (logprobs_BR * weights_BR).sum().backward()
            yield


Side = Packed | Repeated


def run(side: Side, item: PackItem, steps: int | None = None) -> float:
    """Seconds of one pass over the group, or of its first `steps` steps, from no gradients to all."""
    side.model.zero_grad(set_to_none=True)
    gc.collect()
    began = time.perf_counter()
    for _ in islice(side.steps(item), steps):
        pass
    return time.perf_counter() - began


def difference(ours: nn.Module, theirs: nn.Module) -> float:
    """|ours - theirs| / |theirs| over all gradients together."""
    gradients = dict(theirs.named_parameters())
    squares = torch.zeros(2, dtype=torch.float64)
    for name, parameter in ours.named_parameters():
        found, expected = (grad.double() for grad in (parameter.grad, gradients.pop(name).grad) if grad is not None)
        squares += torch.stack([(found - expected).square().sum(), expected.square().sum()])
    if gradients:
        raise SystemExit(f"without a gradient of ours: {', '.join(gradients)}")
    return float((squares[0] / squares[1]).sqrt())


def measure_time(folder: str, point: Point, threads: int, repeats: int, budget: float) -> dict[str, Any]:
    """Median seconds of both, one after the other in turn, behind a warm-up of each; how far their gradients are
    apart; FLOPs of both; the ceiling of this machine. The naive way takes the micro-batch of BATCHES that is fastest
    here. There are fewer repeats where its passes would take more than `budget` seconds together."""
    torch.set_num_threads(threads)
    ours, naive = Packed(folder), Repeated(folder)
    item, warm_up = build_group(ours.loaded.family, point), build_group(ours.loaded.family, WARM_UP)
    for side in (ours, naive):
        run(side, warm_up)
    run(ours, item)
    naive.batch = fastest_batch(naive, item)
    seconds: dict[str, list[float]] = {"ours": [], "naive": []}
    while len(seconds["naive"]) < repeats and sum(seconds["naive"]) + max(seconds["naive"], default=0) <= budget:
        seconds["ours"].append(run(ours, item))
        seconds["naive"].append(run(naive, item))
    error = difference(ours.model, naive.model)
    while len(seconds["ours"]) < repeats:
        seconds["ours"].append(run(ours, item))
    return {
        "seconds": {side: median(taken) for side, taken in seconds.items()},
        "repeats": {side: len(taken) for side, taken in seconds.items()},
        "batch": naive.batch,
        "gradient_difference": error,
        "ceiling": matmul_ceiling(CPU, torch.float32),
        **count(ours, item),
    }


def fastest_batch(naive: Repeated, item: PackItem) -> int:
    """Which of BATCHES takes the fewest seconds a rollout; each is tried with one micro-batch."""
    seconds: dict[int, float] = {}
    for naive.batch in BATCHES:
        seconds[naive.batch] = run(naive, item, steps=1) / min(naive.batch, len(item.completions))
    return min(seconds, key=seconds.__getitem__)


def count(ours: Packed, item: PackItem) -> dict[str, Any]:
    """FLOPs of forward and backward of both, all and those of attention alone."""
    shape = ModelShape.from_config(ours.model.config)
    trained = Trained.of(ours.model, ours.loaded.family.parts)
    grids = picture_grids(picture.tensors for picture in item.encoded.pictures)
    group = GroupLengths(item.encoded.length, tuple(len(c) for c in item.completions), grids)
    assert shape is not None
    forwards = {"ours": packed_forward(shape, group), "naive": repeated_forward(shape, group)}
    return {
        "flops": {side: f.total + backward_flops(f, trained) for side, f in forwards.items()},
        "attention_flops": {side: 3 * (f.attention + f.vision_attention) for side, f in forwards.items()},
    }


def measure_memory(folder: str, point: Point, batch: int | None, threads: int) -> dict[str, int | None]:
    """Bytes resident at most (`peak`), and by how much the group raised that (`grown`). Ours where `batch` is None. Of
    the naive way two micro-batches are enough: the second one already has the gradients beside it."""
    torch.set_num_threads(threads)
    side: Side = Packed(folder) if batch is None else Repeated(folder, batch)
    family = side.loaded.family if isinstance(side, Packed) else QwenVL.load(folder, side.model.config)
    item = build_group(family, point)
    run(side, build_group(family, WARM_UP))
    loaded = peak_memory().process
    run(side, item, steps=2)
    peak = peak_memory().process
    return {"peak": peak, "grown": None if peak is None or loaded is None else peak - loaded}

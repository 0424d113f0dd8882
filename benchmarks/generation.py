"""Tokens a second of mmupt's engine, and of the generation that TRL's trainer calls without vLLM.

    python benchmarks/generation.py                   # four shapes, about five minutes on two cores
    python benchmarks/generation.py --shapes text demo --threads 1 --json

TRL's HF path is transformers' own `generate` on a batch in which every prompt and its picture stand G times, with a
dynamic cache and sampling. It is called here as TRL 1.16 calls it, without TRL around it: what TRL adds (tokenizing,
picture processing, padding) is in neither figure. Both sides have the same weights in fp32, random ones, and encoded
prompts; they alternate in one process, first once to warm up. No token ends a rollout, so every one is `completion`
tokens long, and seconds go from encoded prompts to token ids. A frozen tower's features are not carried over.

Models: text hidden 256, 4 layers (4.5M parameters, that of step_vs_trl.py); for `demo`, that of the offline world.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from step_model import FILLER, build_model

from mmupt.engines.base import Request, Sampling
from mmupt.engines.hf import HFEngine
from mmupt.models.families.base import PixelLimits
from mmupt.models.loading import LoadedModel, load_model
from mmupt.models.pictures import PictureFeatures
from mmupt.models.settings import ModelSettings
from mmupt.types import EncodedPrompt
from mmupt.world.settings import WorldSettings
from mmupt.world.texts import world_texts
from mmupt.world.tiny_model import build_tiny_model

PATCH = 28  # pixels along the side of a merged patch, one token
LIMITS = PixelLimits(56 * 56, 1280 * PATCH * PATCH)


@dataclass(frozen=True, slots=True)
class Shape:
    """`groups` prompts of `prompt` tokens, `rows` x `columns` of them a picture; `group` completions of each."""

    model: str
    prompt: int
    rows: int
    columns: int
    completion: int
    groups: int
    group: int


SHAPES = {
    "short": Shape("small", 92, 8, 8, 128, 2, 10),
    "long": Shape("small", 1000, 28, 32, 64, 2, 10),
    "longer": Shape("small", 1000, 28, 32, 256, 2, 10),
    "demo": Shape("demo", 24, 2, 2, 48, 32, 16),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        build_model(Path(folder) / "small")
        build_tiny_model(Path(folder) / "demo", world_texts(WorldSettings()), seed=0)
        results = {name: measure(Path(folder), SHAPES[name], arguments.repeats) for name in arguments.shapes}
    if arguments.json:
        print(json.dumps(results))
        return
    print("shape    P     C    groups x G   mmupt tokens/s   transformers tokens/s   ratio")
    for name, result in results.items():
        s = SHAPES[name]
        print(
            f"{name:<7}  {s.prompt:<4}  {s.completion:<3}  {s.groups} x {s.group:<8}  {result['mmupt']:>14,.0f}   "
            f"{result['transformers']:>21,.0f}   {result['ratio']:>5.1f}"
        )


def measure(folder: Path, shape: Shape, repeats: int) -> dict[str, Any]:
    """Tokens a second of both sides (medians), and the seconds of every repeat."""
    path = str(folder / shape.model)
    loaded = load_model(path, ModelSettings(path=path), torch.device("cpu"))
    loaded.family.end_ids = frozenset()
    prompts = [build_prompt(loaded, shape, index) for index in range(shape.groups)]
    peer = AutoModelForImageTextToText.from_pretrained(path, dtype=torch.float32, attn_implementation="sdpa").eval()
    sides: dict[str, Callable[[], None]] = {
        "mmupt": lambda: ours(loaded, prompts, shape),
        "transformers": lambda: theirs(peer, loaded, prompts, shape),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(1 + repeats):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            if repeat:
                seconds[name].append(time.perf_counter() - began)
    tokens = shape.groups * shape.group * shape.completion
    rates = {name: tokens / statistics.median(values) for name, values in seconds.items()}
    return {**rates, "ratio": rates["mmupt"] / rates["transformers"], "seconds": seconds}


def build_prompt(loaded: LoadedModel, shape: Shape, index: int) -> EncodedPrompt:
    """A picture of coloured blocks and text that makes the prompt exactly `shape.prompt` tokens long."""
    blocks = np.random.default_rng(index).integers(0, 256, (shape.rows, shape.columns, 3), np.uint8)
    size = shape.columns * PATCH, shape.rows * PATCH
    picture = loaded.family.picture(Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC), LIMITS)

    def encoded(fillers: int) -> EncodedPrompt:
        text = {"type": "text", "text": "Add" + FILLER * fillers}
        return loaded.family.encode([{"role": "user", "content": [{"type": "image"}, text]}], [picture])

    prompt = encoded(shape.prompt - encoded(0).length)
    if prompt.length != shape.prompt:
        raise SystemExit(f"a prompt of {shape.prompt} tokens came out with {prompt.length}")
    return prompt


def ours(loaded: LoadedModel, prompts: list[EncodedPrompt], shape: Shape) -> None:
    fresh = replace(loaded, pictures=PictureFeatures(loaded.family, capacity=0))
    requests = [
        Request(prompt, tuple(range(i * shape.group, (i + 1) * shape.group))) for i, prompt in enumerate(prompts)
    ]
    groups = HFEngine(fresh, shape.groups).generate(requests, Sampling(1.0, 1.0, shape.completion))
    check([len(rollout.token_ids) for group in groups for rollout in group], shape)


@torch.no_grad()
def theirs(peer: Any, loaded: LoadedModel, prompts: list[EncodedPrompt], shape: Shape) -> None:
    """All prompts are equally long: there is nothing to pad."""
    repeated = [prompt for prompt in prompts for _ in range(shape.group)]
    input_ids = torch.stack([prompt.token_ids for prompt in repeated])
    pictures = [picture for prompt in repeated for picture in prompt.pictures]
    output = peer.generate(
        input_ids=input_ids,
        attention_mask=torch.ones_like(input_ids),
        mm_token_type_ids=(input_ids == peer.config.image_token_id).int(),
        **{name: torch.cat([picture.tensors[name] for picture in pictures]) for name in pictures[0].tensors},
        do_sample=True,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        max_new_tokens=shape.completion,
        suppress_tokens=sorted({*loaded.family.banned_ids, *range(3)}),  # the tokenizer's first three end a text
        use_cache=True,
    )
    check([row.shape[0] - shape.prompt for row in output], shape)


def check(lengths: list[int], shape: Shape) -> None:
    if lengths != [shape.completion] * (shape.groups * shape.group):
        raise SystemExit(f"completions came out with {sorted(set(lengths))} tokens, not {shape.completion}")


if __name__ == "__main__":
    main()

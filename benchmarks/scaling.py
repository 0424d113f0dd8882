"""Does an update cost P + G R tokens? Time and memory of one group's forward and backward against the group size G, the
prompt's length P and the completions' length R, beside the naive way and the FLOP floor.

    python benchmarks/scaling.py --json scaling.json --plot docs/figures --docs docs/performance.md   # 10 to 13 minutes
    python benchmarks/scaling.py --quick --threads 1          # seven small points: does everything work?
    python benchmarks/scaling.py --read scaling.json --plot docs/figures     # draws again, measures nothing

A Qwen2.5-VL with random weights (4.3M parameters: text hidden 256, 4 layers; vision hidden 128, 4 layers; vocabulary
512), fp32, on the CPU; all weights trained, no gradient checkpointing. One picture makes up 88 to 90 % of the prompt.

    ours    pack, `policy_logprobs`, backward: what an update does with a group
    naive   transformers' own model and forward, sdpa, each rollout with the prompt and the picture again, 1 or 4
            rollouts at a time (the faster one is found at each point), backward behind each, logits of completions only
    floor   FLOPs of ours, counted (mmupt/models/flops.py), at the best rate that matrix products reached

The first thing printed is the check: gradients of both over all parameters, |ours - naive| / |naive|, at most 1e-5, or
it ends there. Every point checks again. Each point runs in fresh processes, one for the times (both sides in turn,
medians) and one a side for memory: how far the group raises the process's peak above that of loading and a tiny group.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from scaling_figures import draw
from scaling_point import Point, build_model, measure_memory, measure_time

SWEEPS = {
    "G": [Point(group, 1000, 64) for group in (4, 8, 16, 32, 64)],
    "P": [Point(10, prompt, 64) for prompt in (100, 250, 500, 1000, 2000, 4000)],
    "R": [Point(10, 1000, completion) for completion in (16, 64, 128, 256, 512)],
}
QUICK = {
    "G": [Point(group, 250, 32) for group in (4, 8, 16)],
    "P": [Point(4, prompt, 32) for prompt in (100, 250, 500)],
    "R": [Point(4, 250, completion) for completion in (16, 32, 64)],
}
CHECK = Point(4, 250, 64)
TOLERANCE = 1e-5
BUDGET = 10.0  # seconds of naive passes at a point
BEGIN, END = "<!-- scaling:begin -->", "<!-- scaling:end -->"


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What `function` returns in a process that has imported everything and done nothing. It is forked, so its absolute
    peak lacks some pages of libraries (about 30 MiB); by how much the peak grows does not depend on that."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mmupt.models.forward", "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl"])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def measure(point: Point, folder: str, threads: int, repeats: int) -> dict[str, Any]:
    timed = in_fresh_process(measure_time, folder, point, threads, repeats, BUDGET)
    check(timed["gradient_difference"], point)
    sides = {"ours": None, "naive": timed["batch"]}
    memory = {side: in_fresh_process(measure_memory, folder, point, batch, threads) for side, batch in sides.items()}
    return {**asdict(point), **timed, "memory": memory}


def check(error: float, point: Point) -> None:
    if not error <= TOLERANCE:
        raise SystemExit(f"wrong gradients at {point}: {error:.1e} from the naive way, allowed is {TOLERANCE:.0e}")


def measure_all(sweeps: dict[str, list[Point]], threads: int, repeats: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        in_fresh_process(build_model, Path(folder))
        error = in_fresh_process(measure_time, folder, CHECK, threads, 1, BUDGET)["gradient_difference"]
        check(error, CHECK)
        print(f"gradients, ours against naive, G {CHECK.group}, P {CHECK.prompt}, R {CHECK.completion}: {error:.1e}")
        points: dict[Point, dict[str, Any]] = {}
        for point in dict.fromkeys(point for sweep in sweeps.values() for point in sweep):
            points[point] = measure(point, folder, threads, repeats)
            seconds = points[point]["seconds"]
            print(f"{point}: ours {seconds['ours']:.2f} s, naive {seconds['naive']:.2f} s", file=sys.stderr, flush=True)
    found = list(points.values())
    return {
        "threads": threads,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "ceiling": max(point["ceiling"] for point in found),  # the machine's best: on a quiet one they hardly differ
        "gradient_difference": max(error, *(point["gradient_difference"] for point in found)),
        "fit": {side: fit(found, side) for side in ("ours", "naive")},
        "sweeps": {name: [points[point] for point in sweep] for name, sweep in sweeps.items()},
    }


def fit(points: list[dict[str, Any]], side: str) -> dict[str, float]:
    """seconds = a + b x prompt tokens + c x completion tokens + d x FLOPs of attention, by least squares of relative
    errors (so that short passes count as much as long ones). Prompt tokens are P for us and G P for the naive way. A
    prompt's token has a price of its own, since the picture's patches are in it."""
    times = np.array([point["seconds"][side] for point in points])
    rows = [
        (
            1.0,
            point["prompt"] * (point["group"] if side == "naive" else 1),
            point["group"] * point["completion"],
            point["attention_flops"][side] / 1e9,
        )
        for point in points
    ]
    terms = np.array(rows)
    coefficients, *_ = np.linalg.lstsq(terms / times[:, None], np.ones(len(times)), rcond=None)
    fitted = terms @ coefficients
    a, b, c, d = coefficients.tolist()
    return {
        "seconds": a,
        "seconds_per_prompt_token": b,
        "seconds_per_completion_token": c,
        "seconds_per_attention_gflop": d,
        "r2": float(1 - np.square(times - fitted).sum() / np.square(times - times.mean()).sum()),
        "largest_relative_error": float(np.abs(fitted / times - 1).max()),
    }


def table(result: dict[str, Any]) -> str:
    """All points as a table in Markdown, with what was measured how and the fit."""
    lines = [
        f"{result['threads']} threads, torch {result['versions']['torch']}, transformers "
        f"{result['versions']['transformers']}, matrix products at {result['ceiling'] / 1e9:.0f} GFLOP/s at best. "
        f"Gradients, ours against naive, at every point: at most {result['gradient_difference']:.1e} relative.",
        "",
        "| G | P | R | P + G R | ours, s | naive, s | speed-up | floor, s | ours, µs a token of P + G R "
        "| naive, µs a token of P + G R | ours, MiB | naive, MiB | at a time |",
        "|--:" * 13 + "|",
    ]
    for name, points in result["sweeps"].items():
        for point in points:
            group, prompt, completion = point["group"], point["prompt"], point["completion"]
            tokens = prompt + group * completion
            ours, naive = point["seconds"]["ours"], point["seconds"]["naive"]
            cells = {"G": str(group), "P": str(prompt), "R": str(completion)}
            cells[name] = f"**{cells[name]}**"
            floor = point["flops"]["ours"] / result["ceiling"]
            figures = f"{tokens:,} | {ours:.2f} | {naive:.2f} | {naive / ours:.1f}x | {floor:.2f}"
            micros = f"{ours / tokens * 1e6:.0f} | {naive / tokens * 1e6:.0f}"
            memory = " | ".join(mebibytes(point["memory"][side]["grown"]) for side in ("ours", "naive"))
            lines.append(f"| {' | '.join(cells.values())} | {figures} | {micros} | {memory} | {point['batch']} |")
    ours, naive = result["fit"]["ours"], result["fit"]["naive"]
    lines += ["", f"- ours: {formula(ours, 'P')}", f"- naive: {formula(naive, 'G P')}"]
    return "\n".join(lines)


def mebibytes(count: int | None) -> str:
    return "" if count is None else f"{count / 2**20:,.0f}"


def formula(fit: dict[str, float], prompt_tokens: str) -> str:
    terms = (
        f"{fit['seconds'] * 1e3:.0f} ms + {fit['seconds_per_prompt_token'] * 1e6:.0f} µs x {prompt_tokens} + "
        f"{fit['seconds_per_completion_token'] * 1e6:.0f} µs x G R + "
        f"{fit['seconds_per_attention_gflop'] * 1e3:.1f} ms x GFLOP of attention"
    )
    quality = f"R² {fit['r2']:.4f}, no point further off than {fit['largest_relative_error']:.0%}"
    return f"{terms.replace('+ -', '- ')}; {quality}"


def write_table(page: Path, text: str) -> None:
    """Put the table between the page's two marker comments, in place of what stands there."""
    content = page.read_text(encoding="utf-8")
    if not (content.count(BEGIN) == content.count(END) == 1):
        raise SystemExit(f"{page}: put {BEGIN} and {END} once each where the table belongs")
    before, rest = content.split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few and small points")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="passes of each side; fewer where the naive way is slow")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    parser.add_argument("--read", type=Path, metavar="FILE", help="take the figures from there, measure nothing")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="write scaling-time.png and scaling-memory.png")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="write the table between that page's markers")
    arguments = parser.parse_args()

    if arguments.read is not None:
        result = json.loads(arguments.read.read_text(encoding="utf-8"))
    else:
        result = measure_all(QUICK if arguments.quick else SWEEPS, arguments.threads, arguments.repeats)
    print(table(result))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if arguments.plot is not None:
        draw(result, arguments.plot)
    if arguments.docs is not None:
        write_table(arguments.docs, table(result))


if __name__ == "__main__":
    main()

"""One GRPO step of mmupt against one of TRL's GRPOTrainer: generation, update, whole step, peak memory.

    make peers
    python benchmarks/step_vs_trl.py [--json] [--settings 92x128 1000x64] [--betas 0] [--repeats 3]

The same tiny Qwen2.5-VL (4.5M parameters, random weights), the same pictures and questions: 2 prompts, 10 completions
each, fp32, AdamW, one update, on the CPU. Completions have a fixed length: no end token may be sampled. Prompts of 92
tokens hold a picture of 64; those of 1000 and of 2000 hold one of 896. Rewards are a hash of the tokens, so every group
has advantages on both sides. Each measurement is a fresh process, ours and TRL's in turn; a step on short rows, with a
model of its own, goes before it. What counts to which column: see peers/step_mmupt.py and peers/step_trl.py.

First of all, our gradients are compared with those of the repeated forward through transformers' own model.

Ratios are TRL / ours for seconds and ours / TRL for memory, of medians. Memory is a process's peak, libraries and all.
Bars stand beside the ratios and are not asserted: seconds on a busy machine say little. No side uses gradient
checkpointing. Both generate the two groups together. In the update both forward `--groups-at-once` groups: 2, the whole
step, or 1. Where memory matters 1 is TRL's better choice: on 1000x64 with one thread its rows 20, 10, 5 and 2 at a time
took 52, 41, 41 and 42 s of CPU time, start included, and 6.3, 4.3, 2.9 and 2.1 GiB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from peers.step_task import GROUP, PROMPTS, SHAPES, Task
from rich.console import Console
from rich.table import Table

# Nothing here imports torch: on Linux the peak memory of a process counts the one that started it.

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
PARTS = ("generation", "update", "step")

# What is asked for at beta 0. Update and step: TRL's seconds over ours, at least; memory: ours over TRL's, at most.
BARS: dict[tuple[int, int], dict[str, float]] = {
    (92, 128): {"update": 3, "step": 2},
    (1000, 64): {"update": 12, "step": 8, "rss": 0.3},
    (1000, 256): {"update": 6, "step": 4, "rss": 0.3},
    (2000, 256): {"update": 6, "step": 4, "rss": 0.3},
}
# Measured steps of a process, the same on both sides: short ones several times.
STEPS = {(92, 128): 4, (1000, 64): 2}
SIDES = {"ours": "step_mmupt.py", "trl": "step_trl.py"}


@dataclass(frozen=True, slots=True)
class Bench:
    """Where and how measurements run."""

    folder: Path
    peer_python: Path
    threads: int
    steps: int | None
    groups_at_once: int

    def task(self, setting: tuple[int, int], beta: float) -> Task:
        steps = self.steps or STEPS.get(setting, 1)
        return Task(str(self.folder), *setting, beta, steps, self.threads, self.groups_at_once)

    def call(self, script: str, argument: str) -> str:
        """The last line that a script of peers/ prints, run in a fresh process."""
        threads = {"OMP_NUM_THREADS": str(self.threads), "MKL_NUM_THREADS": str(self.threads)}
        environment = os.environ | threads | {"HF_HUB_OFFLINE": "1"}
        environment.pop("PYTHONPATH", None)
        python = sys.executable
        if script == SIDES["trl"]:
            python, environment["PYTHONPATH"] = str(self.peer_python), str(PEERS)  # sitecustomize.py lies there
        command = [python, str(PEERS / script), argument]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{script} failed:\n{done.stderr[-3000:]}")
        return (done.stdout.strip().splitlines() or [""])[-1]

    def measure(self, side: str, setting: tuple[int, int], beta: float) -> dict[str, Any]:
        return json.loads(self.call(SIDES[side], self.task(setting, beta).argument()))

    def check(self, setting: tuple[int, int], beta: float) -> dict[str, float]:
        return json.loads(self.call("step_check.py", self.task(setting, beta).argument()))


def compared(setting: tuple[int, int], beta: float, samples: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """One entry of the JSON's `settings`, from all measurements of one setting."""
    medians = {
        side: {part: median(step[part] for one in found for step in one["steps"]) for part in PARTS}
        | {key: median(one[key] for one in found) for key in ("rss", "rss_before")}
        for side, found in samples.items()
    }
    ours, trl = medians["ours"], medians["trl"]
    return {
        "prompt": setting[0],
        "completion": setting[1],
        "beta": beta,
        **{f"{part}_ratio": trl[part] / ours[part] for part in PARTS},
        "rss_ratio": ours["rss"] / trl["rss"],
        "bars": BARS.get(setting, {}) if beta == 0 else {},
        "medians": medians,
        "samples": samples,
    }


def run(bench: Bench, settings: Sequence[tuple[int, int]], betas: Sequence[float], repeats: int) -> dict[str, Any]:
    say("building model, pictures and prompts")
    bench.call("step_model.py", str(bench.folder))
    checks = []
    for setting in settings:
        found = bench.check(setting, max(betas))
        checks.append({"prompt": setting[0], "completion": setting[1], "beta": max(betas), **found})
        say(f"{name(setting)}: {checked(checks[-1])}")
    rows, versions = [], {}
    for setting in settings:
        for beta in betas:
            samples: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
            for repeat in range(repeats):
                for side in SIDES:
                    began = time.perf_counter()
                    one = bench.measure(side, setting, beta)
                    versions[side] = one.pop("versions")
                    samples[side].append(one)
                    took = time.perf_counter() - began
                    seconds = ", ".join(f"{part} {one['steps'][-1][part]:.2f} s" for part in PARTS)
                    say(
                        f"{name(setting)}, beta {beta:g}, {repeat + 1}/{repeats}, {side}: {seconds}, "
                        f"{one['rss'] / 2**30:.2f} GiB ({took:.0f} s in all)"
                    )
            rows.append(compared(setting, beta, samples))
    conditions = {"threads": bench.threads, "repeats": repeats, "groups_at_once": bench.groups_at_once}
    return {"settings": rows, "checks": checks, "versions": versions, "prompts": PROMPTS, "group": GROUP} | conditions


def checked(check: dict[str, Any]) -> str:
    return (
        f"against the repeated forward (beta {check['beta']:g}) gradients differ by {check['gradient']:.1e} of the "
        f"largest, log-probs by {check['engine_logprob']:.1e} (sampled) and {check['packed_logprob']:.1e} (packed, "
        "against sampled)"
    )


def table(result: dict[str, Any]) -> Table:
    columns = ("prompt", "completion", "beta", "generation s", "", "update s", "", "step s", "", "peak GiB", "")
    shown = Table(*columns, title="TRL / ours = ratio (bar)", title_justify="left")
    for row in result["settings"]:
        ours, trl, bars = row["medians"]["ours"], row["medians"]["trl"], row["bars"]
        cells = [str(row["prompt"]), str(row["completion"]), f"{row['beta']:g}"]
        for part in PARTS:
            bar = f" (≥ {bars[part]:g}x)" if part in bars else ""
            cells += [f"{trl[part]:.2f} / {ours[part]:.2f}", f"{row[f'{part}_ratio']:.1f}x{bar}"]
        bar = f" (≤ {bars['rss']:g}x)" if "rss" in bars else ""
        cells += [f"{trl['rss'] / 2**30:.2f} / {ours['rss'] / 2**30:.2f}", f"{row['rss_ratio']:.2f}x{bar}"]
        shown.add_row(*cells)
    return shown


def name(setting: tuple[int, int]) -> str:
    return f"{setting[0]}x{setting[1]}"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def setting(text: str) -> tuple[int, int]:
    """ "1000x64" to prompt and completion tokens."""
    prompt, _, completion = text.partition("x")
    if not (prompt.isdigit() and completion.isdigit() and int(prompt) in SHAPES and int(completion) > 0):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no setting; write PROMPTxCOMPLETION with a prompt of {', '.join(map(str, SHAPES))} tokens"
        )
    return int(prompt), int(completion)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--settings", type=setting, nargs="+", default=list(BARS), help="PROMPTxCOMPLETION in tokens, such as 1000x64")
    add("--betas", type=float, nargs="+", default=[0.0, 0.01], help="KL coefficients")
    add("--repeats", type=int, default=3, help="fresh processes a side and setting (3)")
    add("--steps", type=int, help="measured steps a process (1 to 4, see STEPS)")
    add("--threads", type=int, default=2, help="threads of each process (2)")
    add("--groups-at-once", type=int, default=2, choices=(1, 2), help="groups of 10 rows that a forward takes (2)")
    add(
        "--peer-python",
        type=Path,
        default=HERE.parent / ".venv-peer" / "bin" / "python",
        help="an environment with TRL",
    )
    add("--json", action="store_true", help="print one JSON object instead of a table")
    add("--output", type=Path, help="also write the JSON object here")
    arguments = parser.parse_args()
    if not arguments.peer_python.exists():
        parser.error(f"{arguments.peer_python} is not there: `make peers` makes the environment TRL runs in")
    if min(arguments.repeats, arguments.steps or 1, arguments.threads) < 1:
        parser.error("--repeats, --steps and --threads are at least 1")
    if min(arguments.betas) < 0:
        parser.error("--betas are at least 0")
    return arguments


def main() -> None:
    arguments = parsed()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), arguments.peer_python, arguments.threads, arguments.steps, arguments.groups_at_once)
        result = run(bench, arguments.settings, arguments.betas, arguments.repeats)
    text = json.dumps(result, indent=2)
    if arguments.output is not None:
        arguments.output.write_text(text + "\n", encoding="utf-8")
    if arguments.json:
        print(text)
        return
    checks = [f"{name((check['prompt'], check['completion']))}: {checked(check)}" for check in result["checks"]]
    Console(width=160, highlight=False).print(table(result), *checks, sep="\n", soft_wrap=True)


if __name__ == "__main__":
    main()

"""The tables of docs/scaling.md: a 72B model on 16 to 4096 GPUs, on paper, as `mmupt plan` calculates it.

    python benchmarks/plan_scaling.py            # the tables, to the terminal
    python benchmarks/plan_scaling.py --write    # into docs/scaling.md, between its markers

Nothing is measured here, and nothing is loaded: the same command lines give the same page anywhere. A test compares the
page with what this makes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from typer.testing import CliRunner

from mmupt.cli import app
from mmupt.runtime.settings import Layout

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
BEGIN, END = "<!-- plan:begin -->", "<!-- plan:end -->"
COUNTS = (16, 64, 512, 4096)
MODEL = "Qwen/Qwen2.5-VL-72B-Instruct"
BASE = [
    "mm-upt-paper", "--model-config", MODEL, "--gpu", "H200", "--layout", "sharded",
    "--prompt-tokens", "1200", "--response-tokens", "600",
    "--set", "stages.upt.rollout.engine=vllm", "--set", "stages.upt.rollout.vllm.tensor_parallel=8",
    "--set", "stages.upt.rollout.prompts_at_once=64",
]  # fmt: skip
LARGER = ["--set", "stages.upt.prompts_per_step=4096", "--set", "stages.upt.updates_per_step=1"]
MODELS = ("3B", "7B", "32B", "72B")
CARDS = ("H100", "H200", "B200")


def planned(arguments: Sequence[str]) -> dict[str, Any]:
    """What `mmupt plan ... --json` prints."""
    done = CliRunner().invoke(app, ["plan", *arguments, "--json"])
    if done.exit_code:
        raise done.exception or SystemExit(done.output)
    return dict(json.loads(done.stdout))


def tables() -> str:
    """Everything between the page's markers."""
    published = {n: planned([*BASE, "--gpus", str(n)])["stages"][0] for n in COUNTS}
    larger = {n: planned([*BASE, *LARGER, "--gpus", str(n)])["stages"][0] for n in COUNTS}
    return "\n\n".join(
        [
            "### The paper's step: 512 questions x 10 answers, 4 updates",
            _command(BASE),
            _memory(published),
            _times(published),
            _bounds(published),
            "### Eight times the questions, one update: 4,096 x 10 answers",
            _command([*BASE, *LARGER]),
            _times(larger),
            _bounds(larger),
            "### What eight GPUs carry",
            _command(["mm-upt-paper", "--model-config", "Qwen/Qwen2.5-VL-7B-Instruct", "--gpu", "H200"], gpus="8"),
            _carried(),
        ]
    )


def _command(arguments: Sequence[str], gpus: str = "N") -> str:
    """As one would type it, no line too long."""
    lines, line = [], "$ mmupt plan"
    pairs = [arguments[0]] + [" ".join(arguments[i : i + 2]) for i in range(1, len(arguments), 2)]
    for part in [*pairs, f"--gpus {gpus}"]:
        if len(line) + len(part) > 105:
            lines.append(line + " \\")
            line = "     "
        line += f" {part}"
    return "\n".join(["```console", *lines, line, "```"])


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = ["| " + " | ".join(columns) + " |", "|---" + "|--:" * (len(columns) - 1) + "|"]
    return "\n".join(head + ["| " + " | ".join(row) + " |" for row in rows])


def _memory(plans: dict[int, dict[str, Any]]) -> str:
    phases = list(next(iter(plans.values()))["memory_bytes"])
    parts = [
        (phase, part)
        for phase in phases
        for part in plans[COUNTS[0]]["memory_bytes"][phase]
        if plans[COUNTS[0]]["memory_bytes"][phase][part]
    ]
    rows = []
    for part in dict.fromkeys(part for _, part in parts if part not in ("total", "limit")):
        most = [max(plan["memory_bytes"][phase].get(part, 0.0) for phase in phases) for plan in plans.values()]
        rows.append([part, *(_gb(value) for value in most)])
    for phase in phases:
        totals = [plan["memory_bytes"][phase] for plan in plans.values()]
        cells = [_gb(m["total"]) + ("" if m["total"] <= m["limit"] else " does not fit") for m in totals]
        rows.append([f"**together, {phase}**", *cells])
    limit = _gb(plans[COUNTS[0]]["memory_bytes"]["update"]["limit"])
    title = f"memory of a GPU, GB ({limit} can be used)"
    return _table([title, *(f"{n:,} GPUs" for n in plans)], rows)


def _times(plans: dict[int, dict[str, Any]]) -> str:
    phases = dict.fromkeys(phase for plan in plans.values() for phase in plan["seconds"])
    rows = [[phase, *(_seconds(plan["seconds"].get(phase, 0.0)) for plan in plans.values())] for phase in phases]
    rows.append(["**a step**", *(f"**{_seconds(plan['seconds_a_step'])}**" for plan in plans.values())])
    first = COUNTS[0] * plans[COUNTS[0]]["seconds_a_step"]
    rows.append(["steps an hour", *(f"{plan['steps_an_hour']:.1f}" for plan in plans.values())])
    rows.append(["GPU hours a step", *(f"{n * plan['seconds_a_step'] / 3600:.2f}" for n, plan in plans.items())])
    rows.append(["of perfect scaling", *(f"{first / (n * plan['seconds_a_step']):.0%}" for n, plan in plans.items())])
    return _table(["seconds", *(f"{n:,} GPUs" for n in plans)], rows)


def _bounds(plans: dict[int, dict[str, Any]]) -> str:
    """The three phases that take longest."""
    lines = []
    for n, plan in plans.items():
        longest = sorted(plan["seconds"], key=lambda phase: -plan["seconds"][phase])[:3]
        told = [f"{p} {plan['seconds'][p] / plan['seconds_a_step']:.0%} ({plan['bound_by'][p]})" for p in longest]
        enough = plan["fewest_as_fast"]
        more = f". {enough:,} GPUs are as fast to within a tenth" if enough < n else ""
        lines.append(f"- **{n:,} GPUs**: {', '.join(told)}{more}.")
    return "\n".join(lines)


def _carried() -> str:
    """GB that the fullest phase needs on each of eight GPUs, in either layout, under full training and under LoRA."""
    layouts = get_args(Layout)
    rows = []
    for model in MODELS:
        for named, extra in (("all weights", []), ("LoRA", ["--set", "model.lora.rank=16"])):
            cells = []
            for layout in layouts:
                for card in CARDS:
                    arguments = ["mm-upt-paper", "--model-config", f"Qwen/Qwen2.5-VL-{model}-Instruct", *extra]
                    arguments += ["--gpu", card, "--gpus", "8", "--layout", layout]
                    memory = planned(arguments)["stages"][0]["memory_bytes"]
                    worst = max(memory.values(), key=lambda m: m["total"] / m["limit"])
                    cells.append(_gb(worst["total"]) + ("" if worst["total"] <= worst["limit"] else " no"))
            rows.append([f"Qwen2.5-VL-{model}, {named}", *cells])
    columns = [f"{layout}, 8 x {card}" for layout in layouts for card in CARDS]
    return _table(["GB of the fullest phase; no: does not fit", *columns], rows)


def _gb(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:,.1f}"


def _seconds(seconds: float) -> str:
    return f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.1f}" if seconds >= 1 else f"{seconds:.2f}"


def on_page(page: str) -> str:
    """What stands between the markers."""
    return page.partition(BEGIN)[2].partition(END)[0].strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put them into docs/scaling.md")
    made = tables()
    if not parser.parse_args().write:
        print(made)
        return
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{made}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()

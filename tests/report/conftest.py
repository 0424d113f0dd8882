"""A run folder as a real run leaves it, made up: sft, then rl, then upt, measured before and after each."""

from __future__ import annotations

import io
import math
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from mmupt.evals.records import SCHEMA
from mmupt.runtime.files import write_json
from mmupt.runtime.groups import write_groups
from mmupt.runtime.metrics import MetricsLog
from mmupt.runtime.parquet import write_table
from mmupt.runtime.run_folder import RunFolder
from mmupt.types import Cluster, EncodedPrompt, GroupScore, ImageSource, Prompt, Rollout, RolloutGroup, Vote

RECIPE = """name = "dice"
description = "the offline world: sft, rl, then upt without labels"
seed = 7

[evaluation]
every_stage = true
[evaluation.data]
path = "world:test"

[[stages]]
kind = "sft"
name = "sft"

[[stages]]
kind = "rl"
name = "rl"
steps = 20

[[stages]]
kind = "upt"
name = "upt"
steps = 60

[stages.rollout]
max_new_tokens = 64

[stages.answers]
extract = "boxed"
"""


@pytest.fixture(scope="session")
def fake() -> SimpleNamespace:
    """What tests make runs of: `make_run`, `group`, `keep`, `measured`, `write_eval`."""
    parts = (make_run, group, keep, measured, write_eval)
    return SimpleNamespace(**{part.__name__: part for part in parts})


def dice(seed: int) -> bytes:
    """A 56 x 56 picture of four dice, as PNG."""
    rng = random.Random(seed)
    image = Image.new("RGB", (56, 56), "white")
    draw = ImageDraw.Draw(image)
    for x, y in ((2, 2), (30, 2), (2, 30), (30, 30)):
        draw.rounded_rectangle((x, y, x + 23, y + 23), 4, fill=rng.choice(["#d43c3c", "#3b6fd4"]))
        for _ in range(rng.randint(1, 6)):
            cx, cy = x + rng.randint(4, 18), y + rng.randint(4, 18)
            draw.ellipse((cx, cy, cx + 3, cy + 3), fill="white")
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def group(prompt: Prompt, texts: list[str], answers: list[str | None]) -> tuple[RolloutGroup, GroupScore]:
    encoded = EncodedPrompt(torch.zeros(1, dtype=torch.long), torch.zeros(3, 1, dtype=torch.long), 1, {})
    rollouts = tuple(Rollout((1,) * 17, (-0.5,) * 17, text, "end") for text in texts)
    counted = Counter(answer for answer in answers if answer is not None).most_common()
    clusters = tuple(Cluster(c, tuple(i for i, a in enumerate(answers) if a == c)) for c, _ in counted)
    tie = len(clusters) > 1 and len(clusters[0].members) == len(clusters[1].members)
    majority = 0 if clusters and not tie else None
    won = clusters[0].members if majority == 0 else ()
    vote = Vote(len(texts), tuple(answers), clusters, majority, tie)
    return RolloutGroup(prompt, encoded, rollouts), GroupScore(tuple(float(i in won) for i in range(len(texts))), vote)


def dice_groups(rng: random.Random, agreement: float, count: int = 16) -> list[tuple[RolloutGroup, GroupScore]]:
    made = []
    for index in range(count):
        seed, right = rng.randrange(10**6), rng.randint(8, 20)
        answers: list[str | None] = []
        for _ in range(16):
            near = right if rng.random() < agreement else right + rng.choice([-2, -1, 1, 2])
            answers.append(None if rng.random() < 0.04 else str(near))
        texts = [f"3 5 1 2: 3+5=8, +1=9, +2={a} \\boxed{{{a}}}" if a else "3 5 1 2: 3+5=8, +1=" for a in answers]
        prompt = Prompt(f"world-{seed}", "<image>Add all dice.", (ImageSource(data=dice(seed)),))
        made.append(group(prompt, texts, answers))
        if index == 0:
            question = "<image>Which die shows the most points?"
            made.append(
                group(Prompt("world-9", question, (ImageSource("gone/9.png"),), ("red", "blue")), texts, answers)
            )
    return made


def keep(run: RunFolder, stage: str, step: int, made: list[tuple[RolloutGroup, GroupScore]]) -> None:
    groups, scores = [g for g, _ in made], [s for _, s in made]
    write_groups(run.groups(stage, step), groups, scores, [[0.0] * g.size for g in groups])


def measured(name: str, greedy: float, mean: float, maj: float, best: float, unreadable: float) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "n": 300, "k": 8, "unreadable": unreadable}
    for key, value in {"greedy": greedy, "mean@8": mean, "maj@8": maj, "pass@8": best}.items():
        half = 1.96 * math.sqrt(max(value * (1 - value), 1e-4) / 300)
        row |= {key: value, f"{key}_interval": [max(0.0, value - half), min(1.0, value + half)]}
    return row


def write_eval(run: RunFolder, name: str, accuracy: float, questions: int = 300) -> None:
    """Correctness of 8 samples a question; what is hard for one model is hard for the next."""
    rows: list[dict[str, object]] = []
    for index in range(questions):
        chance = min(1.0, max(0.0, accuracy + 0.6 * (random.Random(index).random() - 0.5)))
        rng = random.Random(index + 10**6)
        rows.append({"id": f"test-{index}", "correct": [rng.random() < chance for _ in range(8)]})
    write_table(run.eval_parquet(name), rows, SCHEMA)


def make_run(path: Path, upt_steps: int = 60) -> RunFolder:
    """A healthy run; `upt_steps` below 60 stops it early."""
    rng, noise = random.Random(0), np.random.default_rng(0)
    run = RunFolder.create(path, RECIPE, seed=7)
    with MetricsLog(run.metrics) as log:
        for step in range(1, 201):
            loss = 2.2 * math.exp(-step / 40) + 0.25 + 0.04 * noise.normal()
            fields = {"loss": loss, "grad_norm": 1 + 0.2 * noise.normal(), "lr": 2e-3, "seconds": 0.4}
            log.append({"stage": "sft", "kind": "sft", "step": step, **fields})
        for kind, steps, start, rise in (("rl", 20, 0.5, 0.06), ("upt", upt_steps, 0.6, 0.14)):
            for step in range(1, steps + 1):
                share = start + rise * step / steps + 0.02 * noise.normal()
                log.append(
                    {
                        "stage": kind, "kind": kind, "step": step, "reward": share - 0.02, "share": share,
                        "semantic_entropy": 1.4 - share + 0.05 * noise.normal(), "unreadable": 0.04, "truncated": 0.02,
                        "length": 17 + noise.normal() / 2, "ties": 0.05, "zero_signal_groups": 0.2,
                        "kl": 1e-4 * step, "entropy": 0.8 - 0.003 * step, "grad_norm": 0.5 + 0.1 * noise.normal(),
                        "loss": 0.01 * noise.normal(), "lr": 3e-5, "seconds": 1.9, "tokens_per_second": 2000,
                    }
                )  # fmt: skip
                if step in (1, steps):
                    keep(run, kind, step, dice_groups(rng, share))
    rows = [
        measured("base", 0.0, 0.0, 0.0, 0.01, 0.99), measured("sft", 0.62, 0.56, 0.70, 0.93, 0.03),
        measured("rl", 0.68, 0.61, 0.73, 0.92, 0.02), measured("upt", 0.77, 0.70, 0.79, 0.91, 0.01),
    ]  # fmt: skip
    for name, accuracy in (("base", 0.0), ("sft", 0.56), ("rl", 0.61), ("upt", 0.70)):
        write_eval(run, name, accuracy)
    finished = upt_steps == 60
    write_json(run.summary, {"name": "dice", "seed": 7, "seconds": 752.4, "stages": rows[: 4 if finished else 3]})
    return run

"""The measurements of gpu_step.py in the order they are made, and what they come to."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch
from gpu.attention import LAYER_TOLERANCE, LOGPROB_TOLERANCE, Heads, compare, logprob_errors, winner
from gpu.measure import Measured, largest_that_fits, measure, said
from gpu.model import make_group, set_checkpointing
from gpu.sides import TrlSide, our_update
from torch import Tensor

from mmupt.models.flops import (
    GroupLengths,
    ModelShape,
    Trained,
    backward_flops,
    packed_forward,
    picture_grids,
    repeated_forward,
)
from mmupt.models.loading import LoadedModel
from mmupt.train.update import ScoredGroup
from mmupt.types import EncodedPrompt, GroupSpan

COMPARED = ("language_model.layers.0.self_attn.q_proj.weight", "visual.merger.mlp.2.weight", "embed_tokens.weight")
"""Parameters whose gradients are compared between the sides: the ends of their names."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measured update."""

    side: str
    weights: str
    group: int
    completion: int
    checkpointing: bool
    rows: int
    measured: Measured
    mfu: float | None


@dataclass(slots=True)
class Bench:
    """What every measurement needs, and what was found; `save` keeps it after each, so a killed run keeps most."""

    options: argparse.Namespace
    device: torch.device
    compute: torch.dtype
    prompt: EncodedPrompt
    shape: ModelShape
    image_id: int
    ceiling: float
    report: dict[str, Any]
    rows: list[Row] = field(default_factory=list)

    @property
    def settings(self) -> list[tuple[int, int]]:
        return [(g, r) for r in self.options.completions for g in self.options.groups]

    def group(self, size: int, completion: int) -> ScoredGroup:
        return make_group(self.prompt, self.shape.vocabulary, size, completion)

    def flops(self, size: int, completion: int, packed: bool) -> int:
        grids = picture_grids(picture.tensors for picture in self.prompt.pictures)
        lengths = GroupLengths(self.prompt.length, (completion,) * size, grids)
        forward = (packed_forward if packed else repeated_forward)(self.shape, lengths)
        return forward.total + backward_flops(forward, Trained())

    def add(
        self, side: str, weights: str, setting: tuple[int, int], checkpointing: bool, rows: int, found: Measured
    ) -> None:
        flops = self.flops(*setting, packed=side == "ours")
        mfu = flops / found.seconds / self.ceiling if found.error is None else None
        row = Row(side, weights, *setting, checkpointing, rows, found, mfu)
        self.rows.append(row)
        self.report["updates"] = [asdict(r) for r in self.rows]
        print(_line(row), flush=True)
        self.save()

    def save(self) -> None:
        if self.options.json is not None:
            self.options.json.write_text(json.dumps(self.report, indent=1, default=str) + "\n", encoding="utf-8")


def measure_trl(bench: Bench, model: Any, tokenizer: Any, weights: str, folder: str) -> dict[str, Tensor]:
    """TRL's rows, or its error; returns its gradients of the first setting."""
    gradients: dict[str, Tensor] = {}
    try:
        side = TrlSide(model, tokenizer, folder, bench.device)
    except Exception as error:
        bench.report.setdefault("trl_errors", {})[weights] = said(error)
        print(f"TRL cannot run with {weights} weights: {said(error)}", flush=True)
        return gradients

    def updater(setting: tuple[int, int], rows: int) -> Callable[[], None]:
        return partial(side.update, bench.group(*setting), bench.image_id, rows)

    for checkpointing in (True, False):
        set_checkpointing(model, checkpointing)
        model.train()  # as its trainer does
        for setting in bench.settings:
            rows = setting[0]
            found = measure(updater(setting, rows), bench.device, bench.options.repeats)
            bench.add("trl", weights, setting, checkpointing, rows, found)
            while found.out_of_memory and rows > 1:
                rows = rows // 2
                found = measure(updater(setting, rows), bench.device, bench.options.repeats)
                bench.add("trl", weights, setting, checkpointing, rows, found)
            if checkpointing and setting == bench.settings[0] and found.error is None:
                gradients = _gradients(model)
            if rows > 1 and bench.device.type == "cuda":  # one row takes the least memory
                found = measure(updater(setting, 1), bench.device, bench.options.repeats)
                bench.add("trl", weights, setting, checkpointing, 1, found)
    if "largest" in bench.options.parts:
        set_checkpointing(model, True)
        model.train()
        _search(bench, "trl", weights, lambda setting: updater(setting, setting[0]))
    model.zero_grad(set_to_none=True)
    return gradients


def measure_ours(bench: Bench, loaded: LoadedModel, weights: str, theirs: dict[str, Tensor]) -> None:
    """Our rows; `theirs` are TRL's gradients of the first setting, or empty."""

    def updater(setting: tuple[int, int]) -> Callable[[], None]:
        return partial(our_update, loaded, bench.group(*setting), bench.options.chunk)

    for checkpointing in (True, False):
        set_checkpointing(loaded.model, checkpointing)
        for setting in bench.settings:
            found = measure(updater(setting), bench.device, bench.options.repeats)
            bench.add("ours", weights, setting, checkpointing, setting[0], found)
            if theirs and checkpointing and setting == bench.settings[0] and found.error is None:
                ours = _gradients(loaded.model)
                apart = {n: float((ours[n] - g).norm() / g.norm()) for n, g in theirs.items()}
                bench.report.setdefault("gradient_difference", {})[weights] = apart
                print(f"gradients, difference from TRL's over their norm: {apart}")
    if "largest" in bench.options.parts:
        set_checkpointing(loaded.model, True)
        _search(bench, "ours", weights, updater)
    loaded.model.zero_grad(set_to_none=True)


def measure_backends(bench: Bench, loaded: LoadedModel) -> None:
    """Whether each backend is right, how fast it is, and which is the fastest; weights are fp32."""
    set_checkpointing(loaded.model, False)
    shape = bench.shape
    heads = Heads(shape.heads, shape.kv_heads, shape.head_dim)
    print(
        f"\nattention backends, {bench.compute}; tolerances against dense in fp32: "
        f"one layer {LAYER_TOLERANCE[bench.compute]:g} of the largest value, "
        f"log-probs {LOGPROB_TOLERANCE[bench.compute]:g}"
    )
    smallest = min(bench.settings)
    try:
        errors = logprob_errors(loaded, bench.group(*smallest))
    except Exception as error:  # dense in fp32 itself
        errors = {"dense in fp32": said(error)}
    print(f"log-probs, G {smallest[0]} x {smallest[1]}: {errors}")
    table: list[Any] = []
    winners: dict[str, str] = {}
    for group, completion in bench.settings:
        span = GroupSpan(0, bench.prompt.length, (completion,) * group)
        check = (group, completion) == smallest
        rows = compare(span, heads, bench.device, bench.compute, bench.options.repeats, check)
        wrong = {row.kind for row in table if row.right is False}
        wrong |= {k for k, e in errors.items() if isinstance(e, str) or e["max"] > LOGPROB_TOLERANCE[bench.compute]}
        table += rows
        for row in rows:
            print(f"{_name(group, completion)}  {row.kind:7} forward {_ms(row.forward)}  with backward {_ms(row.both)}")
            if row.errors is not None:
                print(f"    {row.kind} against dense in fp32: {row.errors}")
        name = f"{group}x{completion}"
        winners[name] = winner([row for row in rows if row.kind not in wrong])
        print(f"winner: {winners[name]}", flush=True)
        bench.report["backends"] = {"logprobs": errors, "rows": [asdict(row) for row in table], "winners": winners}
        bench.save()


def verdict(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Each setting: like for like with gradient checkpointing, without, and each side's fastest."""
    found = []
    for weights, group, completion in dict.fromkeys((r.weights, r.group, r.completion) for r in rows):
        able = [r for r in rows if (r.weights, r.group, r.completion) == (weights, group, completion)]
        able = [r for r in able if r.measured.error is None]
        for name, chosen in {"checkpointing": {True}, "plain": {False}, "fastest": {True, False}}.items():
            ours = [r for r in able if r.side == "ours" and r.checkpointing in chosen]
            trl = [r for r in able if r.side == "trl" and r.checkpointing in chosen]
            if not ours or not trl:
                continue
            best, theirs = (min(side, key=lambda r: r.measured.seconds) for side in (ours, trl))
            # Memory beside the fastest row of each side; one row at a time would need less of TRL, and more time.
            peaks = best.measured.peak, theirs.measured.peak
            memory = peaks[0] / peaks[1] if peaks[0] and peaks[1] else None
            least = min((r.measured.peak for r in trl if r.measured.peak), default=None)
            found.append(
                {
                    "weights": weights,
                    "group": group,
                    "completion": completion,
                    "compared": name,
                    "speed": theirs.measured.seconds / best.measured.seconds,
                    "memory": memory,
                    "memory_against_trl_least": peaks[0] / least if peaks[0] and least else None,
                }
            )
    return found


def _gradients(model: Any) -> dict[str, Tensor]:
    named = [(n, p.grad) for n, p in model.named_parameters() if n.endswith(COMPARED) and p.grad is not None]
    return {n: g.detach().float().cpu() for n, g in named}


def _search(bench: Bench, side: str, weights: str, update: Callable[[tuple[int, int]], Callable[[], None]]) -> None:
    """The largest group that is forwarded at once, for each completion length."""
    for completion in bench.options.completions:

        def measured(size: int, completion: int = completion) -> Measured:
            return measure(update((size, completion)), bench.device, 1)

        fits, then = largest_that_fits(measured, bench.options.cap)
        found = {"side": side, "weights": weights, "completion": completion, "fits": fits, "then": then}
        bench.report.setdefault("largest", []).append(found)
        what = "G in one row" if side == "ours" else "rows at once"
        print(f"largest {what}, {side}, {weights}, completions of {completion}: {fits} ({then})", flush=True)
        bench.save()


def _line(row: Row) -> str:
    head = (
        f"{row.side:4} {row.weights:8} {_name(row.group, row.completion)} "
        f"{'checkpointing' if row.checkpointing else 'plain':13} {row.rows:3} rows  "
    )
    if row.measured.error is not None:
        return head + row.measured.error
    peak = "-" if row.measured.peak is None else f"{row.measured.peak / 2**30:.1f} GiB"
    return head + f"{row.measured.seconds:8.3f} s  {peak:>10}  MFU {row.mfu:.1%}"


def _name(group: int, completion: int) -> str:
    return f"G {group:3} x {completion:4}"


def _ms(measured: Measured) -> str:
    return measured.error or f"{measured.seconds * 1e3:9.3f} ms"

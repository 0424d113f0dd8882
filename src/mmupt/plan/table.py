"""A plan as text for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from mmupt.plan.assumptions import Assumptions
from mmupt.plan.planner import Plan
from mmupt.plan.stage import StagePlan

NO_RUN = "Calculated, not measured: no GPU run of mmupt stands behind these figures."


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows of text under a title."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def head(plan: Plan) -> list[str]:
    """Which recipe, model and cluster."""
    setting = plan.setting
    trained = setting.trained
    how = "LoRA" if plan.recipe.model.lora is not None else "trained"
    lines = [
        f"{plan.recipe.name} on {setting.cluster.name}: {plan.model_path}, {_count(plan.model.parameters)} parameters, "
        f"{_count(trained)} {how}",
        {
            "replica": "each process holds the whole model in fp32, and a shard of what is trained",
            "sharded": "all weights, gradients and moments are sharded; a copy is whole while the HF engine samples",
        }[setting.layout]
        if setting.is_split
        else "one process, nothing is sharded",
        NO_RUN,
    ]
    return lines


def stage_head(stage: StagePlan) -> list[str]:
    work = stage.work
    size = f" x {work.group_size}" if work.group_size > 1 else ""
    unit = {"sft": "answers", "dpo": "pairs"}.get(work.kind, "questions")
    steps = "an unknown number of" if work.steps is None else f"{work.steps:,}"
    lengths = f"{work.usual.prompt:,} prompt and {work.usual.completions[0]:,} response tokens"
    updates = f"{work.updates} update{'s' if work.updates > 1 else ''} a step"
    lines = [f"{work.name} ({work.kind}): {steps} steps of {work.groups:,} {unit}{size}, {updates}; {lengths}"]
    return lines + [f"  {note}" for note in work.notes]


def memory_table(stage: StagePlan) -> Table:
    """GB of 10^9 bytes."""
    phases = stage.memories
    names = list(dict.fromkeys(name for memory in phases.values() for name in memory.parts))
    rows = [
        (name, *(_gb(memory.parts.get(name, 0.0)) for memory in phases.values()))
        for name in names
        if any(memory.parts.get(name) for memory in phases.values())
    ]
    rows.append(("together", *(_gb(memory.total) for memory in phases.values())))
    rows.append(("there is", *(_gb(memory.limit) for memory in phases.values())))
    rows.append(("", *("fits" if memory.fits else "DOES NOT FIT" for memory in phases.values())))
    return Table("memory of a GPU, GB", ("", *phases), tuple(rows))


def time_table(stage: StagePlan) -> Table:
    rows = [
        (phase.phase, _seconds(phase.seconds), f"{100 * phase.seconds / stage.seconds:.1f} %", phase.bound)
        for phase in stage.phases
    ]
    return Table(
        "a step", ("phase", "seconds", "share", "bound by"), (*rows, ("together", _seconds(stage.seconds), "", ""))
    )


def stage_foot(stage: StagePlan) -> list[str]:
    work, seconds, gpus = stage.work, stage.seconds, stage.setting.cluster.gpus
    lines = [
        f"{3600 / seconds:,.1f} steps an hour, {work.sampled_tokens / seconds:,.0f} sampled and "
        f"{work.forwarded_tokens / seconds:,.0f} forwarded tokens a second, {gpus * seconds / 3600:,.3g} GPU hours "
        "a step" + ("" if stage.fits else " (as if it fitted)")
    ]
    if stage.gpu_hours is not None and work.steps is not None:
        lines.append(f"the stage: {work.steps * seconds / 3600:,.3g} hours, {stage.gpu_hours:,.4g} GPU hours")
    else:
        lines.append(f"how many steps it has depends on its rows: --rows {work.name}=N")
    return lines + [f"- {sentence}" for sentence in stage.advice]


def foot(plan: Plan) -> list[str]:
    lines = []
    if len(plan.stages) > 1 and plan.gpu_hours is not None:
        lines.append(f"all training stages: {plan.gpu_hours:,.4g} GPU hours")
    if plan.not_counted:
        lines.append(f"not counted: {', '.join(plan.not_counted)}")
    return lines


def assumption_lines(assumptions: Assumptions) -> Iterator[str]:
    """What was assumed, and how to say it otherwise."""
    yield "assumed (--assume KEY=VALUE):"
    for field in fields(Assumptions):
        yield f"  {field.name} = {getattr(assumptions, field.name):g}: {field.metadata['says']}"


def as_json(plan: Plan) -> dict[str, Any]:
    """Everything, unrounded: bytes and seconds."""
    setting = plan.setting
    return {
        "recipe": plan.recipe.name,
        "model": plan.model_path,
        "parameters": plan.model.parameters,
        "trained_parameters": setting.trained,
        "gpu": asdict(setting.cluster.gpu),
        "gpus": setting.cluster.gpus,
        "nodes": setting.cluster.nodes,
        "layout": setting.layout,
        "assumptions": asdict(setting.assumptions),
        "measured_on_gpus": False,
        "fits": plan.fits,
        "gpu_hours": plan.gpu_hours,
        "not_counted": list(plan.not_counted),
        "stages": [_stage_json(stage) for stage in plan.stages],
    }


def _stage_json(stage: StagePlan) -> dict[str, Any]:
    work = stage.work
    return {
        "name": work.name,
        "kind": work.kind,
        "steps": work.steps,
        "prompt_tokens": work.usual.prompt,
        "response_tokens": work.usual.completions[0],
        "group_size": work.group_size,
        "tensor_parallel": stage.setting.tensor_parallel,
        "gradient_checkpointing": stage.setting.checkpointing,
        "cpu_offload": stage.setting.offload,
        "fits": stage.fits,
        "memory_bytes": {
            phase: {**memory.parts, "total": memory.total, "limit": memory.limit}
            for phase, memory in stage.memories.items()
        },
        "seconds": {phase.phase: phase.seconds for phase in stage.phases},
        "bound_by": {phase.phase: phase.bound for phase in stage.phases},
        "seconds_a_step": stage.seconds,
        "steps_an_hour": 3600 / stage.seconds,
        "sampled_tokens_a_step": work.sampled_tokens,
        "forwarded_tokens_a_step": work.forwarded_tokens,
        "gpu_hours": stage.gpu_hours,
        "smallest_that_fits": stage.smallest,
        "fewest_as_fast": stage.enough,
        "advice": list(stage.advice),
    }


def _gb(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:,.2f}" if num_bytes < 1e11 else f"{num_bytes / 1e9:,.1f}"


def _seconds(seconds: float) -> str:
    return f"{seconds:,.1f}" if seconds >= 100 else f"{seconds:.3g}"


def _count(number: int) -> str:
    for unit, size in (("B", 1e9), ("M", 1e6)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:,}"

"""`rl` and `upt`: GRPO with labels and without. A label-free stage is handed prompts alone, and a guard."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mmupt.guard.guard import Guard
from mmupt.guard.watch import Watch, hold_out
from mmupt.rewards.registry import build_reward
from mmupt.stages.work import Work
from mmupt.train.grpo import train_grpo
from mmupt.train.guarding import Guarding
from mmupt.train.settings import GrpoStage
from mmupt.types import LabeledPrompt, Prompt


def run_rl(stage: GrpoStage, work: Work) -> int:
    """Trains the model in place against labels; returns the steps."""
    rows = work.ready.labeled[stage.name].rows
    return _train(stage, work, [row.prompt for row in rows], None, {row.prompt.id: row for row in rows})


def run_upt(stage: GrpoStage, work: Work) -> int:
    """Trains the model in place on its own votes, some prompts being kept for the guard; returns the steps."""
    prompts = work.prompts_of(stage)
    if not stage.guard.enabled or work.rehearsal:
        return _train(stage, work, prompts, None, None)
    first = _first(stage, work)
    watched, rest = hold_out(
        work.prompts_of(first), first.guard.watch, at_least=first.prompts_per_step, seed=work.seed_of(first.name)
    )
    if first is not stage:
        kept = {prompt.id for prompt in watched}
        rest = [prompt for prompt in prompts if prompt.id not in kept]
    return _train(stage, work, rest, watched, None)


def _first(stage: GrpoStage, work: Work) -> GrpoStage:
    """The stage whose guard this one carries on, through all that lie between; the stage itself where it follows
    none."""
    by_name = {s.name: s for s in work.recipe.stages if isinstance(s, GrpoStage)}
    while stage.guard.follows is not None:
        stage = by_name[stage.guard.follows]
    return stage


def _train(
    stage: GrpoStage,
    work: Work,
    prompts: Sequence[Prompt],
    watched: Sequence[Prompt] | None,
    labels: Mapping[str, LabeledPrompt] | None,
) -> int:
    """`watched` is None where nothing stands guard."""
    context, start = work.context, work.start()
    tools = work.tools(
        start,
        stage.prompt,
        stage.rollout,
        micro_batch_tokens=stage.micro_batch_tokens,
        logprob_chunk=stage.logprob_chunk,
    )
    guard: Guard | None = None
    if watched is not None:
        seed = work.seed_of(_first(stage, work).name)
        guard = Guard(stage.guard, Watch(watched, tools, stage.guard, stage.answers, stage.reward, seed))
    reward = build_reward(stage.reward, stage.answers, tools=tools, seed=context.seed, labels=labels)
    guarding = Guarding(guard, start, reward, context, _legacy(stage, work) if guard is not None else None)
    reference = start if stage.algo.kl_coef > 0 else None
    steps = train_grpo(stage, work.policy(), prompts, reward, tools.engine, reference, guarding, context)
    tools.engine.release()
    guarding.close()
    return steps


def _legacy(stage: GrpoStage, work: Work) -> Mapping[str, Any] | None:
    """What the guard that this one carries on has left."""
    if stage.guard.follows is None:
        return None
    file = work.context.run.guard_legacy(stage.guard.follows)
    left: dict[str, Any] = work.context.processes.first(lambda: json.loads(file.read_text(encoding="utf-8")))
    return left

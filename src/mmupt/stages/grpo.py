"""`rl` and `upt`: GRPO with labels and without. A label-free stage is handed prompts alone, and a guard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
    prompts: Sequence[Prompt] = work.ready.blind[stage.name].rows
    watched: Sequence[Prompt] | None = None
    if stage.guard.enabled and not work.rehearsal:
        watched, prompts = hold_out(prompts, stage.guard.watch, at_least=stage.prompts_per_step, seed=work.context.seed)
    return _train(stage, work, prompts, watched, None)


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
        guard = Guard(stage.guard, Watch(watched, tools, stage.guard, stage.answers, stage.reward, context.seed))
    reward = build_reward(stage.reward, stage.answers, tools=tools, seed=context.seed, labels=labels)
    guarding = Guarding(guard, start, reward, context)
    reference = start if stage.algo.kl_coef > 0 else None
    return train_grpo(stage, work.model, prompts, reward, tools.engine, reference, guarding, context)

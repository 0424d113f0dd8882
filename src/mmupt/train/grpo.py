"""GRPO from groups: one loop for `rl` and `upt`, which differ in their reward alone.

    prompts -> groups -> votes and rewards -> advantages -> packed rows -> loss -> new weights -> next prompts

After MM-UPT (arXiv 2505.22453). Departures from the authors' code: an answer that cannot be read never votes, votes
are counted by equivalence, a group travels whole, and the group size is written once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mmupt.algo.advantage import group_advantage
from mmupt.data.stream import PromptStream
from mmupt.engines.base import Engine
from mmupt.models.encoding import PromptEncoder
from mmupt.models.loading import LoadedModel
from mmupt.rewards.base import Reward, checked
from mmupt.rollout.prepare import Preparer
from mmupt.rollout.single_turn import sample_groups
from mmupt.runtime.ahead import ahead
from mmupt.runtime.groups import write_groups
from mmupt.train.context import StageContext
from mmupt.train.floor import StepFloor
from mmupt.train.group_stats import group_stats
from mmupt.train.optimizer import build_optimizer, learning_rate
from mmupt.train.reference import Reference
from mmupt.train.settings import GrpoStage
from mmupt.train.update import ScoredGroup, forwarded, update_policy
from mmupt.types import Prompt

_SHOWN = {"reward": "reward", "share": "share", "semantic_entropy": "entropy", "unreadable": "unreadable",
          "length": "len", "kl": "kl", "grad_norm": "grad"}  # fmt: skip


def train_grpo(
    stage: GrpoStage,
    loaded: LoadedModel,
    prompts: Sequence[Prompt],
    reward: Reward,
    engine: Engine,
    reference: Reference | None,
    context: StageContext,
) -> int:
    """Train `loaded` in place for `stage.steps` steps; returns them."""
    encoder = PromptEncoder(loaded.family, stage.prompt)
    stream = PromptStream(prompts, seed=context.seed)
    preparer = Preparer(stream, encoder, stage.prompt.too_long == "skip", stage.data.bad_rows == "skip")
    optimizer = build_optimizer(loaded.model, stage.optimizer)
    updates = stage.updates_per_step
    first = 0
    if (state := context.restore(loaded, optimizer)) is not None:
        first = int(state["step"])  # type: ignore[call-overload]
        stream.load_state_dict(state["stream"])  # type: ignore[arg-type]

    clock, floor = context.clock, StepFloor.of(loaded)
    context.progress.stage(stage.name, stage.steps, first)
    with ahead(preparer.batches(stage.prompts_per_step, stage.steps - first)) as batches:
        for step in range(first, stage.steps):
            clock.start()
            with clock("prepare"):
                prepared = next(batches)
            groups = sample_groups(
                prepared.prompts, engine, stage.rollout, seed=context.seed, policy_version=step * updates
            )
            with clock("reward"):
                scores = [checked(reward.score(group), group) for group in groups]
                advantages = [group_advantage(torch.tensor(score.rewards), stage.algo.advantage) for score in scores]
            scored = [ScoredGroup(group, advantage_G) for group, advantage_G in zip(groups, advantages, strict=True)]
            rates = [learning_rate(stage.optimizer, step * updates + u, stage.steps * updates) for u in range(updates)]
            stats = update_policy(stage, loaded, optimizer, scored, reference, rates, clock)
            times = clock.take()

            tokens = sum(group.tokens for group in scored)
            updated = {i: scored[i].item for i in forwarded(stage, scored, reference)}
            record: dict[str, float] = {
                **group_stats(groups, scores),
                **stats.means(),
                "lr": rates[-1],
                "tokens": tokens,
                "tokens_per_second": tokens / times.seconds,
                "skipped_prompts": prepared.skipped,
                **floor.fields(
                    times,
                    sampled=[s.item for s in scored],
                    updated=list(updated.values()),
                    old=[item for i, item in updated.items() if i >= len(scored) // updates],
                    reference=list(updated.values()) if reference is not None else (),
                ),
            }
            write_groups(context.run.groups(stage.name, step + 1), groups, scores, advantages)
            context.metrics.append({"stage": stage.name, "kind": stage.kind, "step": step + 1, **record})
            shown = {label: record[name] for name, label in _SHOWN.items()} | {"seconds": record["seconds"]}
            context.progress.step(step + 1, stage.steps, shown)
            if (step + 1) % stage.checkpoint_every == 0 and step + 1 < stage.steps:
                context.save(step + 1, loaded, optimizer, {"stream": prepared.stream_state})
    return stage.steps

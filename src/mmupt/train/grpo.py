"""GRPO from groups: one loop for `rl` and `upt`, which differ in their reward, and in the guard that watches `upt`.

    prompts -> groups -> votes and rewards -> selection -> advantages -> packed rows -> loss -> new weights -> guard

After MM-UPT (arXiv 2505.22453). Departures from the authors' code: an answer that cannot be read never votes, votes
are counted by equivalence, a group travels whole, and the group size is written once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import partial

import torch

from mmupt.algo.advantage import group_advantage
from mmupt.data.stream import PromptStream
from mmupt.engines.base import Engine
from mmupt.guard.memory import PromptMemory
from mmupt.models.encoding import PromptEncoder
from mmupt.models.loading import LoadedModel
from mmupt.models.start import StartModel
from mmupt.rewards.base import Reward, checked
from mmupt.rollout.prepare import Preparer
from mmupt.rollout.single_turn import sample_groups
from mmupt.runtime.ahead import ahead
from mmupt.runtime.groups import write_groups
from mmupt.runtime.stopping import Stopped
from mmupt.train.context import StageContext
from mmupt.train.floor import StepFloor
from mmupt.train.group_stats import group_stats
from mmupt.train.guarding import Guarding
from mmupt.train.masking import answer_mask
from mmupt.train.optimizer import build_optimizer, learning_rate
from mmupt.train.policy import Policy
from mmupt.train.selection import select
from mmupt.train.settings import GrpoStage
from mmupt.train.showing import ballot_of
from mmupt.train.stragglers import across
from mmupt.train.update import ScoredGroup, update_policy
from mmupt.types import GroupScore, Prompt, RolloutGroup

_SHOWN = {"reward": "reward", "share": "share", "semantic_entropy": "entropy", "unreadable": "unreadable",
          "length": "len", "kl": "kl", "grad_norm": "grad"}  # fmt: skip


def train_grpo(
    stage: GrpoStage,
    policy: Policy,
    prompts: Sequence[Prompt],
    reward: Reward,
    engine: Engine,
    reference: StartModel | None,
    guarding: Guarding,
    context: StageContext,
) -> int:
    """Train `policy` in place for `stage.steps` steps, or for as many as the guard and `select.max_visits` allow;
    returns them. Where the guard has rolled back, the weights are those of an earlier step."""
    loaded, processes = policy.loaded, context.processes
    encoder = PromptEncoder(loaded.family, stage.prompt)
    stream = PromptStream(prompts, seed=context.seed)
    preparer = Preparer(stream, encoder, stage.prompt.too_long == "skip", stage.data.bad_rows == "skip")
    optimizer = build_optimizer(policy.trained.values(), stage.optimizer)
    memory = PromptMemory()
    updates, steps, first = stage.updates_per_step, _steps(stage, len(prompts)), 0
    if (state := context.restore(policy, optimizer, reward.load_tensors)) is not None:
        first = int(state["step"])
        stream.load_state_dict(state["stream"])
        memory.load_state(state["memory"])
        reward.load_state(state["reward"])
        guarding.load_state(state["guard"])
    elif not guarding.begin():
        return 0

    clock, floor = context.clock, StepFloor.of(loaded, processes)
    context.progress.stage(stage.name, steps, first)
    context.stopping.wait()
    with ahead(preparer.batches(stage.prompts_per_step, steps - first)) as batches:
        for step in range(first, steps):
            clock.start()
            with clock("prepare"):
                prepared = processes.each(lambda: next(batches))
            groups = sample_groups(
                prepared.prompts, engine, stage.rollout, seed=context.seed, policy_version=step * updates
            )
            with clock("reward"):
                groups = _together(groups, reward.companions(groups))
                scores = [checked(score, group) for score, group in zip(reward.score(groups), groups, strict=True)]
                answering = [(g, s) for g, s in zip(groups, scores, strict=True) if g.role == "answer"]
                flips = [memory.remember(group.prompt, score.vote) for group, score in answering]
                selection = select(stage.select, groups, scores, memory)
                advantages = [_advantages(stage, s, w) for s, w in zip(scores, selection.weights, strict=True)]
                kept = [i for i, w in enumerate(selection.weights) if w > 0]
                masks = [_mask(stage, loaded, groups[i]) for i in kept]
            scored = [ScoredGroup(groups[i], advantages[i], mask) for i, mask in zip(kept, masks, strict=True)]
            rates = [
                guarding.lr_scale * learning_rate(stage.optimizer, step * updates + u, steps * updates)
                for u in range(updates)
            ]
            with clock("sync"):
                processes.agree(f"{stage.name}, step {step + 1}", _digest(kept, advantages, rates))
            engine.release()
            stats = update_policy(guarding.slowed(stage), policy, optimizer, scored, reference, rates, clock)
            reward.after_step()
            times = clock.take()

            tokens = sum(len(rollout.token_ids) for group in groups for rollout in group.rollouts)
            updated = {i: scored[i].item for i in stats.forwarded}
            record: dict[str, float] = {
                **group_stats([g for g, _ in answering], [s for _, s in answering]),
                **_flip_stats(flips),
                **_left_out(selection.reasons, len(groups)),
                **_masked_share(scored),
                **stats.means(),
                "lr": rates[-1],
                "tokens": tokens,
                "tokens_per_second": tokens / times.seconds,
                "skipped_prompts": prepared.skipped,
                **floor.fields(
                    times,
                    sampled=[ScoredGroup(g, a).item for g, a in zip(groups, advantages, strict=True)],
                    updated=list(updated.values()),
                    old=[item for i, item in updated.items() if i >= len(scored) // updates],
                    reference=list(updated.values()) if reference is not None else (),
                ),
            }
            record |= across(processes, times)
            outcome = guarding.after(step + 1, [g for g, _ in answering], [s for _, s in answering], record)
            written = context.run.groups(stage.name, step + 1)
            processes.first(partial(write_groups, written, groups, scores, advantages))
            context.metrics.append(
                {"stage": stage.name, "kind": stage.kind, "step": step + 1, **record, **outcome.fields}
            )
            shown = {label: record[name] for name, label in _SHOWN.items()} | {"seconds": record["seconds"]}
            context.progress.vote(ballot_of(answering[-1][0], answering[-1][1].vote))
            context.progress.step(step + 1, steps, shown, {"tokens_per_second": record["tokens_per_second"]})
            if outcome.go_back_to is not None:
                engine.release()
                guarding.go_back(outcome.go_back_to, policy, optimizer)
            if outcome.stop:
                return step + 1
            leaving = context.leaving()
            if (leaving or outcome.best or (step + 1) % stage.checkpoint_every == 0) and step + 1 < steps:
                state = {
                    "stream": prepared.stream_state,
                    "memory": memory.state(),
                    "reward": reward.state(),
                    "guard": guarding.state(),
                }
                context.save(step + 1, policy, optimizer, state, reward.tensors(), keep=guarding.best_step)
                if leaving:
                    raise Stopped
    if (better := guarding.finish(steps)) is not None:
        guarding.go_back(better, policy, optimizer)
    return steps


def _digest(kept: Sequence[int], advantages: Sequence[torch.Tensor], rates: Sequence[float]) -> str:
    """What all processes must have come to before any of them moves a weight, to the last bit."""
    said = repr((list(kept), [a.tolist() for a in advantages], list(rates)))
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()


def _steps(stage: GrpoStage, num_prompts: int) -> int:
    """As many steps as the recipe wants, and no more than `select.max_visits` visits of every prompt last."""
    if not stage.select.max_visits:
        return stage.steps
    return min(stage.steps, max(1, stage.select.max_visits * num_prompts // stage.prompts_per_step))


def _together(groups: Sequence[RolloutGroup], companions: Sequence[RolloutGroup]) -> list[RolloutGroup]:
    """Each group with its companions behind it, so that one update takes them all."""
    place = {group.prompt.id: i for i, group in enumerate(groups)}
    return sorted([*groups, *companions], key=lambda group: place[group.belongs_to])


def _advantages(stage: GrpoStage, score: GroupScore, weight: float) -> torch.Tensor:
    """f32[G]."""
    if weight == 0:
        return torch.zeros(len(score.rewards))
    if score.advantages is not None:
        return weight * torch.tensor(score.advantages)
    return weight * group_advantage(torch.tensor(score.rewards), stage.algo.advantage)


def _mask(stage: GrpoStage, loaded: LoadedModel, group: RolloutGroup) -> torch.Tensor | None:
    return answer_mask(group, loaded.family.tokenizer, stage.answers) if stage.algo.mask_answer else None


def _masked_share(scored: Sequence[ScoredGroup]) -> dict[str, float]:
    """The share of tokens, of those learned from, that the answer mask takes out of the loss."""
    masks = [s.masked_T for s in scored if s.masked_T is not None]
    return {"masked": float(torch.cat(masks).float().mean())} if masks else {}


def _flip_stats(flips: Sequence[bool | None]) -> dict[str, float]:
    """The share of prompts seen before whose majority answer has changed since."""
    compared = [flip for flip in flips if flip is not None]
    return {"flips": sum(compared) / len(compared)} if compared else {}


def _left_out(reasons: Counter[str], num_groups: int) -> dict[str, float]:
    """Shares of all groups: those that were not learned from, and for each reason."""
    return {
        "left_out": sum(reasons.values()) / num_groups,
        **{f"left_out/{reason}": count / num_groups for reason, count in sorted(reasons.items())},
    }

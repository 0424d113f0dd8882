"""Supervised fine-tuning: the mean cross-entropy of the target's tokens, through the same packed forward as GRPO."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mmupt.algo.packing import PackItem
from mmupt.data.stream import PromptStream
from mmupt.models.encoding import PromptEncoder
from mmupt.rollout.prepare import Preparer
from mmupt.runtime.ahead import ahead
from mmupt.runtime.stopping import Stopped
from mmupt.train.context import StageContext
from mmupt.train.floor import StepFloor
from mmupt.train.optimizer import apply_gradients, build_optimizer, learning_rate
from mmupt.train.policy import Policy
from mmupt.train.settings import SftStage
from mmupt.train.stragglers import across
from mmupt.train.targets import TargetEncoder
from mmupt.types import LabeledPrompt


def train_sft(stage: SftStage, policy: Policy, rows: Sequence[LabeledPrompt], context: StageContext) -> int:
    """Train `policy` in place for `stage.epochs` passes over `rows`, each in an order of its own; returns the steps."""
    loaded, processes = policy.loaded, context.processes
    target = TargetEncoder.of(loaded.family)
    targets = {row.prompt.id: target(row) for row in rows}
    encoder = PromptEncoder(loaded.family, stage.prompt)
    stream = PromptStream([row.prompt for row in rows], seed=context.seed)
    preparer = Preparer(stream, encoder, stage.prompt.too_long == "skip", stage.data.bad_rows == "skip")
    optimizer = build_optimizer(policy.trained.values(), stage.optimizer)
    batch_size = min(stage.batch_size, len(rows))
    steps = -(-stage.epochs * len(rows) // batch_size)
    first = 0
    if (state := context.restore(policy, optimizer)) is not None:
        first = int(state["step"])
        stream.load_state_dict(state["stream"])

    clock, floor = context.clock, StepFloor.of(loaded, processes)
    context.progress.stage(stage.name, steps, first)
    context.stopping.wait()
    with ahead(preparer.batches(batch_size, steps - first)) as batches:
        for step in range(first, steps):
            clock.start()
            with clock("prepare"):
                prepared = processes.each(lambda: next(batches))
            items = [PackItem(p.encoded, targets[p.prompt.id]) for p in prepared.prompts]
            tokens = sum(len(item.completions[0]) for item in items)
            own = torch.zeros((), device=loaded.device)
            for batch, _ in policy.rows(items, stage.micro_batch_tokens, clock):
                num_tokens = batch.target_T.shape[0]
                with clock("forward", num_tokens):
                    share = -policy.logprobs(batch, chunk=stage.logprob_chunk).logprobs_T.sum() / tokens
                with clock("backward", num_tokens):
                    share.backward()
                own += share.detach()
            lr = learning_rate(stage.optimizer, step, steps)
            with clock("optimiser"):
                loss = processes.sum(float(own))
                blame = policy.blame(float(own), (p.prompt.id for p in prepared.prompts))
                norm = apply_gradients(optimizer, stage.optimizer, lr, loss, blame)
            times = clock.take()
            profile = {**floor.fields(times, updated=items), **across(processes, times)}
            fields = {"loss": loss, "grad_norm": norm, "lr": lr, "tokens": tokens, **profile}
            context.metrics.append({"stage": stage.name, "kind": stage.kind, "step": step + 1, **fields})
            shown = {"loss": loss, "grad": norm, "lr": lr, "seconds": profile["seconds"]}
            if (step + 1) % max(1, steps // 20) == 0 or step + 1 == steps:
                context.progress.step(step + 1, steps, shown)
            else:
                context.progress.advance(step + 1, steps)
            leaving = context.leaving()
            if (leaving or (step + 1) % stage.checkpoint_every == 0) and step + 1 < steps:
                context.save(step + 1, policy, optimizer, {"stream": prepared.stream_state})
                if leaving:
                    raise Stopped
    policy.publish()
    return steps

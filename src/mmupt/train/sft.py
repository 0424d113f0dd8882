"""Supervised fine-tuning: the mean cross-entropy of the target's tokens, through the same packed forward as GRPO."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mmupt.algo.packing import PackItem, pack, plan_micro_batches
from mmupt.data.stream import PromptStream
from mmupt.models.encoding import PromptEncoder
from mmupt.models.forward import policy_logprobs
from mmupt.models.loading import LoadedModel
from mmupt.rollout.prepare import Preparer
from mmupt.runtime.ahead import ahead
from mmupt.train.context import StageContext
from mmupt.train.floor import StepFloor
from mmupt.train.optimizer import apply_gradients, build_optimizer, learning_rate
from mmupt.train.settings import SftStage
from mmupt.types import LabeledPrompt


def train_sft(stage: SftStage, loaded: LoadedModel, rows: Sequence[LabeledPrompt], context: StageContext) -> int:
    """Train `loaded` in place for `stage.epochs` passes over `rows`, each in an order of its own; returns the steps."""
    targets = {row.prompt.id: _target_ids(loaded, row) for row in rows}
    encoder = PromptEncoder(loaded.family, stage.prompt)
    stream = PromptStream([row.prompt for row in rows], seed=context.seed)
    preparer = Preparer(stream, encoder, stage.prompt.too_long == "skip", stage.data.bad_rows == "skip")
    optimizer = build_optimizer(loaded.model, stage.optimizer)
    batch_size = min(stage.batch_size, len(rows))
    steps = -(-stage.epochs * len(rows) // batch_size)
    first = 0
    if (state := context.restore(loaded, optimizer)) is not None:
        first = int(state["step"])
        stream.load_state_dict(state["stream"])

    clock, floor = context.clock, StepFloor.of(loaded)
    context.progress.stage(stage.name, steps, first)
    with ahead(preparer.batches(batch_size, steps - first)) as batches:
        for step in range(first, steps):
            clock.start()
            with clock("prepare"):
                prepared = next(batches)
            items = [PackItem(p.encoded, [targets[p.prompt.id]]) for p in prepared.prompts]
            tokens = sum(len(item.completions[0]) for item in items)
            loss = torch.zeros((), device=loaded.device)
            for indices in plan_micro_batches([item.length for item in items], stage.micro_batch_tokens):
                with clock("pack"):
                    batch = pack([items[i] for i in indices])
                num_tokens = batch.target_T.shape[0]
                with clock("forward", num_tokens):
                    share = -policy_logprobs(loaded, batch, chunk=stage.logprob_chunk).logprobs_T.sum() / tokens
                with clock("backward", num_tokens):
                    share.backward()
                loss += share.detach()
            lr = learning_rate(stage.optimizer, step, steps)
            with clock("optimiser"):
                ids = (p.prompt.id for p in prepared.prompts)
                norm = apply_gradients(optimizer, stage.optimizer, lr, float(loss), ids)
            profile = floor.fields(clock.take(), updated=items)
            fields = {"loss": float(loss), "grad_norm": norm, "lr": lr, "tokens": tokens, **profile}
            context.metrics.append({"stage": stage.name, "kind": stage.kind, "step": step + 1, **fields})
            shown = {"loss": float(loss), "grad": norm, "lr": lr, "seconds": profile["seconds"]}
            if (step + 1) % max(1, steps // 20) == 0 or step + 1 == steps:
                context.progress.step(step + 1, steps, shown)
            else:
                context.progress.advance(step + 1, steps)
            if (step + 1) % stage.checkpoint_every == 0 and step + 1 < steps:
                context.save(step + 1, loaded, optimizer, {"stream": prepared.stream_state})
    return steps


def _target_ids(loaded: LoadedModel, row: LabeledPrompt) -> list[int]:
    """The worked chain, or the answer in a box, and the token that closes a turn."""
    tokenizer = loaded.family.tokenizer
    text = row.solution if row.solution is not None else f"\\boxed{{{row.answer}}}"
    return [*tokenizer(text, add_special_tokens=False)["input_ids"], loaded.family.turn_end]

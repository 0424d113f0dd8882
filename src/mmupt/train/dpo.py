"""Direct preference optimisation (arXiv 2305.18290) through the same packed forward as everything else.

A pair is a group of two completions, so prompt and pictures are forwarded once for both. The reference is the model as
the stage found it, asked in the very row of the policy's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mmupt.algo.packing import PackItem
from mmupt.algo.preference import PreferenceTerms, preference_loss
from mmupt.data.stream import PromptStream
from mmupt.models.encoding import PromptEncoder
from mmupt.models.start import StartModel
from mmupt.rollout.prepare import Preparer
from mmupt.runtime.ahead import ahead
from mmupt.runtime.phases import PhaseClock
from mmupt.runtime.stopping import Stopped
from mmupt.train.context import StageContext
from mmupt.train.floor import StepFloor
from mmupt.train.optimizer import apply_gradients, build_optimizer, learning_rate
from mmupt.train.policy import Policy
from mmupt.train.settings import DpoStage
from mmupt.train.stragglers import across
from mmupt.train.targets import TargetEncoder
from mmupt.types import PreferencePair

_SHOWN = {"loss": "loss", "reward/margin": "margin", "reward/accuracy": "accuracy", "grad_norm": "grad", "lr": "lr"}


def train_dpo(
    stage: DpoStage,
    policy: Policy,
    pairs: Sequence[PreferencePair],
    reference: StartModel,
    context: StageContext,
) -> int:
    """Train `policy` in place for `stage.epochs` passes over `pairs`, each in an order of its own.

    Returns the steps."""
    loaded, processes = policy.loaded, context.processes
    pair_of = {pair.prompt.id: pair for pair in pairs}
    target = TargetEncoder.of(loaded.family)
    encoder = PromptEncoder(loaded.family, stage.prompt)
    stream = PromptStream([pair.prompt for pair in pairs], seed=context.seed)
    preparer = Preparer(stream, encoder, stage.prompt.too_long == "skip", stage.data.bad_rows == "skip")
    optimizer = build_optimizer(policy.trained.values(), stage.optimizer)
    batch_size = min(stage.batch_size, len(pairs))
    steps = -(-stage.epochs * len(pairs) // batch_size)
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
                items = [PackItem(p.encoded, target(pair_of[p.prompt.id])) for p in prepared.prompts]
            own = accumulate_gradients(stage, policy, items, reference, clock)
            lr = learning_rate(stage.optimizer, step, steps)
            with clock("optimiser"):
                stats = {name: processes.sum(share) for name, share in own.items()}
                blame = policy.blame(own["loss"], (p.prompt.id for p in prepared.prompts))
                norm = apply_gradients(optimizer, stage.optimizer, lr, stats["loss"], blame)
            times = clock.take()
            record = {
                **stats,
                "grad_norm": norm,
                "lr": lr,
                "tokens": sum(len(response) for item in items for response in item.completions),
                "skipped_prompts": prepared.skipped,
                **floor.fields(times, updated=items, reference=items),
                **across(processes, times),
            }
            context.metrics.append({"stage": stage.name, "kind": stage.kind, "step": step + 1, **record})
            if (step + 1) % max(1, steps // 20) == 0 or step + 1 == steps:
                shown = {label: record[name] for name, label in _SHOWN.items()} | {"seconds": record["seconds"]}
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


def accumulate_gradients(
    stage: DpoStage, policy: Policy, items: Sequence[PackItem], reference: StartModel, clock: PhaseClock
) -> dict[str, float]:
    """Add the gradient of one update over `items` (each a prompt with its chosen and its rejected response) to the
    policy's parameters. Returns the loss, and means over the pairs for metrics, as far as the rows of this process
    make them up; a pair counts into `reward/accuracy` where its chosen response has the larger reward."""
    totals = torch.zeros(len(_METRICS), device=policy.loaded.device)
    for batch, _ in policy.rows(items, stage.micro_batch_tokens, clock, reference):
        num_tokens = batch.target_T.shape[0]
        with clock("reference", num_tokens):
            reference_T = reference.logprobs(batch, temperature=1.0, chunk=stage.logprob_chunk)
        with clock("forward", num_tokens):
            logprobs_T = policy.logprobs(batch, chunk=stage.logprob_chunk).logprobs_T
            lengths = [length for span in batch.spans for length in span.completions]
            terms = preference_loss(logprobs_T, reference_T, lengths, stage.preference, num_pairs=len(items))
        with clock("backward", num_tokens):
            terms.loss.backward()
        totals += _sums(terms, len(items))
    return dict(zip(_METRICS, totals.tolist(), strict=True))


_METRICS = (
    "loss",
    "reward/chosen",
    "reward/rejected",
    "reward/margin",
    "reward/accuracy",
    "logprob/chosen",
    "logprob/rejected",
)


def _sums(terms: PreferenceTerms, num_pairs: int) -> torch.Tensor:
    """This micro-batch's share of each of `_METRICS`. It stays on the device, so that no micro-batch waits for it."""
    margin_N = terms.chosen_reward_N - terms.rejected_reward_N
    means = [
        terms.chosen_reward_N,
        terms.rejected_reward_N,
        margin_N,
        (margin_N > 0).float(),
        terms.chosen_logprob_N,
        terms.rejected_logprob_N,
    ]
    return torch.stack([terms.loss.detach(), *(x_N.sum() / num_pairs for x_N in means)])

"""What the policy of this moment says about every token it has sampled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from mmupt.algo.packing import PackItem, pack, plan_micro_batches
from mmupt.models.forward import policy_logprobs
from mmupt.rewards.tools import Tools
from mmupt.types import RolloutGroup


def token_means(
    groups: Sequence[RolloutGroup], tools: Tools, what: Literal["entropy", "certainty"]
) -> list[list[float]]:
    """The mean over its tokens, in nats, for each rollout of each group: of the entropy, or of the self-certainty
    (`algo/logprobs.py`), both at the temperature the stage samples with.

    One forward without gradient of what the update forwards too, in rows of at most `tools.micro_batch_tokens`; how
    groups share rows changes the means by float error only.
    """
    items = [PackItem(group.encoded, [rollout.token_ids for rollout in group.rollouts]) for group in groups]
    costs = [item.length for item in items]
    with tools.loaded.whole():
        return tools.processes.map(items, costs, lambda share: _token_means(share, tools, what))


def _token_means(items: Sequence[PackItem], tools: Tools, what: Literal["entropy", "certainty"]) -> list[list[float]]:
    means: list[list[float]] = [[] for _ in items]
    for row in plan_micro_batches([item.length for item in items], tools.micro_batch_tokens):
        batch = pack([items[i] for i in row])
        tools.clock.add_tokens("reward", batch.target_T.shape[0])
        with torch.no_grad():
            measured = policy_logprobs(
                tools.loaded,
                batch,
                temperature=tools.rollout.temperature,
                chunk=tools.logprob_chunk,
                entropy=what == "entropy",
                certainty=what == "certainty",
            )
        values_T = measured.entropy_T if what == "entropy" else measured.certainty_T
        assert values_T is not None
        pieces = iter(values_T.cpu().double().split([n for span in batch.spans for n in span.completions]))
        for i in row:
            means[i] = [float(next(pieces).mean()) for _ in items[i].completions]
    return means

"""Packing whole groups into rows, prompt and pictures once: `[prompt | completion 1 | ... | completion G]`.

A completion sees its prompt and itself, never a sibling and never another group, and its positions go on from the
prompt as if it stood alone. So log-probs and gradients equal those of G repeated forwards to float error, at P + G R
instead of G (P + R) tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmupt.errors import TrainingError
from mmupt.types import EncodedPrompt, PackedBatch

MergeVision = Callable[[Sequence[Mapping[str, Tensor]]], dict[str, Tensor]]


@dataclass(frozen=True, slots=True)
class PackItem:
    """One group to pack: its prompt and the token ids of its completions (each at least one token)."""

    encoded: EncodedPrompt
    completions: Sequence[Sequence[int]]

    @property
    def length(self) -> int:
        """Positions the group takes in a row: P + the sum of its completions."""
        return self.encoded.length + sum(len(c) for c in self.completions)


def pack(items: Sequence[PackItem], merge_vision: MergeVision, *, row_tokens: int = 0) -> PackedBatch:
    """Rows in the order of `items`. A group joins the row before it while the row stays within `row_tokens`; with 0
    every group has its own row. Rollouts are numbered through all items in order."""
    rows: list[list[PackItem]] = []
    room = 0
    for item in items:
        if rows and item.length <= room:
            rows[-1].append(item)
            room -= item.length
        else:
            rows.append([item])
            room = row_tokens - item.length
    width = max(sum(item.length for item in row) for row in rows)
    shape = (len(rows), width)
    input_ids_BL = torch.zeros(shape, dtype=torch.long)
    positions_3BL = torch.zeros(3, *shape, dtype=torch.long)
    group_BL = torch.full(shape, -1, dtype=torch.int32)
    completion_BL = torch.full(shape, -1, dtype=torch.int32)
    predictor: list[Tensor] = []
    target: list[Tensor] = []
    rollout: list[Tensor] = []
    num_rollouts = 0
    for b, row in enumerate(rows):
        start = 0
        for g, item in enumerate(row):
            end = start + item.encoded.length
            input_ids_BL[b, start:end] = item.encoded.token_ids
            positions_3BL[:, b, start:end] = item.encoded.positions_3P
            group_BL[b, start : start + item.length] = g
            completion_BL[b, start:end] = 0
            last_of_prompt, at = end - 1, end
            for k, completion in enumerate(item.completions, start=1):
                n = len(completion)
                if n == 0:
                    raise TrainingError("a completion without tokens cannot be packed")
                input_ids_BL[b, at : at + n] = torch.as_tensor(completion)
                positions_3BL[:, b, at : at + n] = torch.arange(n) + item.encoded.next_position
                completion_BL[b, at : at + n] = k
                index_n = torch.arange(at - 1, at + n - 1)
                index_n[0] = last_of_prompt
                predictor.append(index_n + b * width)
                target.append(input_ids_BL[b, at : at + n])
                rollout.append(torch.full((n,), num_rollouts, dtype=torch.long))
                num_rollouts += 1
                at += n
            start = at
    return PackedBatch(
        input_ids_BL=input_ids_BL,
        positions_3BL=positions_3BL,
        group_BL=group_BL,
        completion_BL=completion_BL,
        predictor_T=torch.cat(predictor),
        target_T=torch.cat(target),
        rollout_T=torch.cat(rollout),
        num_rollouts=num_rollouts,
        vision=merge_vision([item.encoded.vision for row in rows for item in row]),
    )


def block_mask(group_BL: Tensor, completion_BL: Tensor) -> Tensor:
    """bool [B, 1, L, L], True where query q may look at key k: same group, k not behind q, and k in the prompt or in
    q's own completion. Padding looks at itself, so that no softmax is empty."""
    same_group = group_BL[:, :, None] == group_BL[:, None, :]
    own = (completion_BL[:, None, :] == 0) | (completion_BL[:, :, None] == completion_BL[:, None, :])
    length = group_BL.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=group_BL.device).tril()
    return (same_group & own & causal)[:, None]


def plan_micro_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices of groups, cut into micro-batches whose padded size (groups x longest) stays within `budget` positions.

    Groups of like length go together, so little is padding; a group over the budget travels alone. The loss is
    normalised by global counts, so how groups are cut changes gradients by float error only.

    >>> plan_micro_batches([10, 30, 12, 31], budget=64)
    [[3, 1], [2, 0]]
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= budget:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches

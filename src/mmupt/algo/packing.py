"""Packing whole groups into one row, prompt and pictures once: `[prompt | completion 1 | ... | completion G | ...]`.

A completion sees its prompt and itself, never a sibling and never another group, and its positions go on from the
prompt as if it stood alone. So log-probs and gradients equal those of G repeated forwards to float error, at P + G R
instead of G (P + R) tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmupt.errors import TrainingError
from mmupt.types import EncodedPrompt, GroupSpan, PackedBatch


@dataclass(frozen=True, slots=True)
class PackItem:
    """One group to pack: its prompt and the token ids of its completions (each at least one token)."""

    encoded: EncodedPrompt
    completions: Sequence[Sequence[int]]

    @property
    def length(self) -> int:
        """Positions the group takes in a row: P + the sum of its completions."""
        return self.encoded.length + sum(len(c) for c in self.completions)


def pack(items: Sequence[PackItem]) -> PackedBatch:
    """One row of all groups in the order of `items`; rollouts are numbered through all of them."""
    ids: list[Tensor] = []
    positions: list[Tensor] = []
    predictor: list[Tensor] = []
    lengths: list[int] = []
    spans: list[GroupSpan] = []
    start = 0
    for item in items:
        encoded = item.encoded
        span = GroupSpan(start, encoded.length, tuple(len(c) for c in item.completions), encoded.blocks)
        if 0 in span.completions:
            raise TrainingError("a completion without tokens cannot be packed")
        ids.append(encoded.token_ids)
        positions.append(encoded.positions_3P)
        at = span.first_completion
        for completion, n in zip(item.completions, span.completions, strict=True):
            ids.append(torch.as_tensor(completion))
            positions.append((torch.arange(n) + encoded.next_position).expand(3, -1))
            predictor_n = torch.arange(at - 1, at + n - 1)
            predictor_n[0] = span.first_completion - 1
            predictor.append(predictor_n)
            at += n
        lengths.extend(span.completions)
        spans.append(span)
        start = span.end
    input_ids_L = torch.cat(ids)
    first_completions = [(span.first_completion, span.end) for span in spans]
    return PackedBatch(
        input_ids_L=input_ids_L,
        positions_3L=torch.cat(positions, dim=1),
        spans=tuple(spans),
        predictor_T=torch.cat(predictor),
        target_T=torch.cat([input_ids_L[begin:end] for begin, end in first_completions]),
        rollout_T=torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths)),
        num_rollouts=len(lengths),
        pictures=tuple(picture for item in items for picture in item.encoded.pictures),
    )


def plan_micro_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices of groups, cut into rows of at most `budget` positions: first fit, longest first. A group over the
    budget travels alone. The loss is normalised by global counts, so how groups are cut changes gradients by float
    error only.

    >>> plan_micro_batches([10, 30, 12, 31], budget=64)
    [[3, 1], [2, 0]]
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        row = next((r for r, left in enumerate(room) if lengths[index] <= left), None)
        if row is None:
            rows.append([index])
            room.append(budget - lengths[index])
        else:
            rows[row].append(index)
            room[row] -= lengths[index]
    return rows


def plan_ranks(lengths: Sequence[int], budget: int, ranks: int) -> list[list[list[int]]]:
    """The same rows for each of several processes, which forward one row each at a time: there are as many rows a
    process as a single one's plan makes necessary, their sizes even out, and those that go together are about as long.
    Processes whose last row would be empty have one row less. Groups are never split.

    >>> plan_ranks([10, 30, 12, 31], budget=64, ranks=2)
    [[[1, 2]], [[3, 0]]]
    """
    if ranks == 1:
        return [plan_micro_batches(lengths, budget)]
    rounds = -(-len(plan_micro_batches(lengths, budget)) // ranks)
    while not _fits(rows := _even_rows(lengths, rounds * ranks), lengths, budget):
        rounds += 1
    rows.sort(key=lambda row: -sum(lengths[i] for i in row))
    plan: list[list[list[int]]] = [[] for _ in range(ranks)]
    for number, row in enumerate(row for row in rows if row):
        turn, place = divmod(number, ranks)
        plan[place if turn % 2 == 0 else ranks - 1 - place].append(row)
    return plan


def _even_rows(lengths: Sequence[int], count: int) -> list[list[int]]:
    """Longest first, each into the row with the least in it."""
    rows: list[list[int]] = [[] for _ in range(count)]
    loads = [0] * count
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        row = loads.index(min(loads))
        rows[row].append(index)
        loads[row] += lengths[index]
    return rows


def _fits(rows: Sequence[Sequence[int]], lengths: Sequence[int], budget: int) -> bool:
    return all(len(row) <= 1 or sum(lengths[i] for i in row) <= budget for row in rows)

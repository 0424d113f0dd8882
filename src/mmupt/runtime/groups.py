"""The groups of one step as a Parquet file: what was asked, answered, voted and rewarded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import SupportsFloat

import pyarrow as pa

from mmupt.runtime.parquet import IMAGE, image_value, read_table, text_value, write_table
from mmupt.types import GroupScore, RolloutGroup

_CLUSTER = pa.struct([("answer", pa.string()), ("members", pa.list_(pa.int32()))])

SCHEMA = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("visit", pa.int64()),
        ("role", pa.string()),  # "answer", or what else a reward had sampled
        ("policy_version", pa.int64()),
        ("question", pa.string()),
        ("choices", pa.list_(pa.string())),  # null where the question is open
        ("images", pa.list_(IMAGE)),  # bytes only where the picture has no path
        ("responses", pa.list_(pa.string())),  # this and the next five: one entry a rollout
        ("answers", pa.list_(pa.string())),  # null where no answer could be read
        ("stops", pa.list_(pa.string())),
        ("num_tokens", pa.list_(pa.int32())),
        ("rewards", pa.list_(pa.float64())),
        ("advantages", pa.list_(pa.float64())),
        ("clusters", pa.list_(_CLUSTER)),
        ("majority", pa.string()),  # null where nobody won
        ("share", pa.float64()),
        ("tie", pa.bool_()),
    ]
)


def write_groups(
    path: Path,
    groups: Sequence[RolloutGroup],
    scores: Sequence[GroupScore],
    advantages: Sequence[Iterable[SupportsFloat]],
) -> None:
    """Writes one row a group, atomically; `advantages` has G numbers (or a tensor f32[G]) a group.

    Text that UTF-8 cannot hold (lone surrogates) is stored with U+FFFD in their place. Raises ValueError where
    groups, scores and advantages do not belong together.
    """
    rows = [_row(*parts) for parts in zip(groups, scores, advantages, strict=True)]
    write_table(path, rows, SCHEMA)


def read_groups(path: Path, columns: Sequence[str] | None = None) -> list[dict[str, object]]:
    """The rows of a file of `write_groups`, or some of their columns; what was written before groups had roles is read
    as answers.

    Raises RunFolderError where the file is missing or damaged.
    """
    missing = "there are no groups of this step; check stage and step"
    return read_table(path, columns, missing=missing, added={"role": "answer"})


def _row(group: RolloutGroup, score: GroupScore, advantages: Iterable[SupportsFloat]) -> dict[str, object]:
    vote = score.vote
    row: dict[str, object] = {
        "prompt_id": text_value(group.prompt.id),
        "visit": group.visit,
        "role": group.role,
        "policy_version": group.policy_version,
        "question": text_value(group.prompt.question),
        "choices": None if group.prompt.choices is None else [text_value(choice) for choice in group.prompt.choices],
        "images": [image_value(image) for image in group.prompt.images],
        "responses": [text_value(rollout.text) for rollout in group.rollouts],
        "answers": [text_value(answer) for answer in vote.answers],
        "stops": [rollout.stop for rollout in group.rollouts],
        "num_tokens": [len(rollout.token_ids) for rollout in group.rollouts],
        "rewards": list(score.rewards),
        "advantages": [float(advantage) for advantage in advantages],
        "clusters": [{"answer": text_value(c.answer), "members": list(c.members)} for c in vote.clusters],
        "majority": text_value(vote.winner.answer) if vote.winner else None,
        "share": vote.share,
        "tie": vote.tie,
    }
    lengths = {name: len(row[name]) for name in ("answers", "rewards", "advantages")}  # type: ignore[arg-type]
    if set(lengths.values()) != {group.size}:
        raise ValueError(f"prompt {group.prompt.id!r}: a group of {group.size} cannot have {lengths}")
    return row

"""The vote as a batch reward function of EasyR1 (hiyouga/EasyR1), written against its
`verl/workers/reward/function.py` at commit 46c6c21 (`BatchRewardFunction`) without running it.

EasyR1 hands a reward function a list of `response`, `response_length` and `ground_truth`, and nothing that says which
responses belong together; where they stand in the batch does not say it either, since batches are reordered to balance
lengths. But label-free data needs no ground truth, so that column carries the prompt's id: set `data.answer_key` to
your id column. An entry that is a JSON object may say more:

    {"id": "q7", "choices": ["3", "4"]}      is voted on, with its options
    {"gold": "12"}                           is graded: for validation files
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mmupt.answers.equivalence import grade
from mmupt.errors import ConfigError
from mmupt.integrations.voting import Voter

Score = dict[str, float]


def compute_score(
    reward_inputs: Sequence[Mapping[str, Any]],
    *,
    group_size: int | None = None,
    kind: str = "majority",
    extract: str = "boxed",
    tolerance: float = 0.0,
    ties: str = "none",
    quorum: float = 0.0,
    seed: int = 0,
) -> list[Score]:
    """One dict a response, in order: `overall` is the reward, `accuracy` the same, `format` whether an answer could be
    read. Keyword arguments come from `worker.reward.reward_function_kwargs`.

    With `group_size` (the trainer's `worker.rollout.n`) a prompt that has not as many responses is an error: its ids
    are not unique, or the batch is not whole. Raises ConfigError, also where it is called for one response alone
    (`reward_type: sequential`).
    """
    if isinstance(reward_inputs, Mapping):
        raise ConfigError("a vote needs the whole batch: set worker.reward.reward_type=batch")
    voter = Voter(kind, extract, tolerance, ties, quorum, seed)  # type: ignore[arg-type]  # checked there
    marks = [_mark(entry["ground_truth"]) for entry in reward_inputs]
    answers = [
        voter.answer(str(entry["response"]), mark.get("choices"))
        for entry, mark in zip(reward_inputs, marks, strict=True)
    ]
    rewards = [0.0] * len(answers)
    groups: dict[str, list[int]] = defaultdict(list)
    for i, mark in enumerate(marks):
        if "gold" in mark:
            rewards[i] = float(grade(answers[i], str(mark["gold"]), choices=mark.get("choices")))
        else:
            groups[str(mark["id"])].append(i)
    for key, members in groups.items():
        if group_size is not None and len(members) != group_size:
            raise ConfigError(
                f'prompt "{key}" has {len(members)} responses in this batch, not group_size = {group_size}; give each '
                "row of the data an id of its own, and group_size the value of worker.rollout.n"
            )
        earned, _ = voter.rewards([answers[i] for i in members], key=key, choices=marks[members[0]].get("choices"))
        for i, reward in zip(members, earned, strict=True):
            rewards[i] = reward
    return [
        {"overall": reward, "format": float(answer is not None), "accuracy": reward}
        for reward, answer in zip(rewards, answers, strict=True)
    ]


def _mark(ground_truth: Any) -> dict[str, Any]:
    """What the column says in place of a label."""
    if isinstance(ground_truth, str) and ground_truth.lstrip().startswith("{"):
        try:
            mark = json.loads(ground_truth)
        except ValueError:
            mark = None  # an id may begin with a brace
        if isinstance(mark, dict):
            if "id" not in mark and "gold" not in mark:
                raise ConfigError(f"{ground_truth}: neither id (to be voted on) nor gold (to be graded) is in it")
            return mark
    if ground_truth is None or not str(ground_truth).strip():
        raise ConfigError("a row has an empty ground truth, where its prompt's id belongs; set data.answer_key to it")
    return {"id": str(ground_truth)}

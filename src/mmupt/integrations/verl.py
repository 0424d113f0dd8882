"""The vote as a reward of verl, written against verl 0.9.1 (its wheel on PyPI) without running it.

verl 0.9 asks for the reward of one response at a time, while others are still being sampled (`RewardLoopWorker` calls
`await reward_manager.run_single(data)`), so `VoteLoopManager` lets the responses of a group, which share verl's `uid`,
wait for each other; that takes one reward worker (`reward.num_workers=1`). Older trainers hand a reward manager the
whole batch: `VoteRewardManager`, or `compute_score` under verl's own `batch` manager.

No label is read, except of rows whose `data_source` is in `grade_sources`: those of a validation set, which are graded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mmupt.answers.equivalence import grade
from mmupt.errors import ConfigError
from mmupt.integrations.meeting import Meeting
from mmupt.integrations.voting import Voter
from mmupt.types import Vote

if TYPE_CHECKING:
    from torch import Tensor


class VoteLoopManager:
    """A reward manager of verl's reward loop. Named in the configuration, with this file's own path or that of a file
    that derives from it to change `voter`:

        reward.reward_manager.source=importlib reward.reward_manager.module.path=my_vote.py
        reward.reward_manager.name=MyVote reward.num_workers=1

    The group size is the trainer's, `actor_rollout_ref.rollout.n`. Duck-typed after
    `verl.experimental.reward_loop.reward_manager.base.RewardManagerBase` (0.9.1).
    """

    voter: ClassVar[Voter] = Voter()
    grade_sources: ClassVar[frozenset[str]] = frozenset()
    timeout: ClassVar[float] = 3600.0
    """Seconds that a response waits for the others of its group."""

    def __init__(self, config: Any, tokenizer: Any, compute_score: Any = None, **_: Any) -> None:
        workers = config.reward.num_workers
        if workers != 1:
            raise ConfigError(
                f"reward.num_workers is {workers}: verl hands each response to a worker drawn at random, and a group "
                "can only vote in one of them; set reward.num_workers=1"
            )
        self.config, self.tokenizer = config, tokenizer
        self.group_size = int(config.actor_rollout_ref.rollout.n)
        self._meeting: Meeting[tuple[str | None, tuple[str, ...] | None]] = Meeting(self.group_size, self.timeout)

    async def run_single(self, data: Any) -> dict[str, Any]:
        """`data` is a DataProto of one trajectory, whose last row is the response. Returns `reward_score` and
        `reward_extra_info` with the same keys for every row."""
        item = data[len(data) - 1]
        fields = item.non_tensor_batch
        response_ids = item.batch["responses"]
        length = int(item.batch["attention_mask"][-response_ids.shape[-1] :].sum())
        response = self.tokenizer.decode(response_ids[:length], skip_special_tokens=True)
        choices = _choices(fields)
        answer = self.voter.answer(response, choices)
        if fields.get("data_source") in self.grade_sources:
            right = float(grade(answer, _gold(fields), choices=choices))
            return _told(right, answer, share=right)
        if "uid" not in fields:
            raise ConfigError("the rows hold no `uid`, by which verl's trainer marks a group; use verl 0.9 or newer")
        group, place = await self._meeting.join(str(fields["uid"]), (answer, choices))
        rewards, vote = self.voter.rewards([a for a, _ in group], key=str(fields["uid"]), choices=choices)
        return _told(rewards[place], answer, share=vote.share)

    @classmethod
    def assemble_rm_scores(cls, data: Any, scores: list[float]) -> Tensor:
        """f32[B, responses]: each score at its response's last token, as verl's own managers put it."""
        return _at_last_token(data, scores)


class VoteRewardManager:
    """A reward manager of the trainers before the reward loop, which hand it the whole batch: `manager(data)`, after
    `verl.workers.reward_manager.abstract.AbstractRewardManager` (still part of 0.9.1). Groups are rows of one `uid`,
    wherever they stand in the batch."""

    voter: ClassVar[Voter] = Voter()
    grade_sources: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        tokenizer: Any,
        num_examine: int = 0,
        compute_score: Any = None,
        reward_fn_key: str = "data_source",
        **_: Any,
    ) -> None:
        self.tokenizer, self.reward_fn_key = tokenizer, reward_fn_key

    def __call__(self, data: Any, return_dict: bool = False) -> Tensor | dict[str, Any]:
        prompts, responses = data.batch["prompts"], data.batch["responses"]
        lengths = data.batch["attention_mask"][:, prompts.shape[-1] :].sum(dim=-1)
        texts = [
            self.tokenizer.decode(ids[: int(n)], skip_special_tokens=True)
            for ids, n in zip(responses, lengths, strict=True)
        ]
        rows = [{name: values[i] for name, values in data.non_tensor_batch.items()} for i in range(len(texts))]
        if any("uid" not in row for row in rows):
            raise ConfigError("the batch holds no `uid`, by which verl's trainer marks a group")
        found = _scored(self.voter, texts, rows, [str(row["uid"]) for row in rows], self._graded(rows))
        rewards = _at_last_token(data, [told["reward_score"] for told in found])
        if not return_dict:
            return rewards
        extra = {name: [told["reward_extra_info"][name] for told in found] for name in ("acc", "readable", "share")}
        return {"reward_tensor": rewards, "reward_extra_info": extra}

    def _graded(self, rows: Sequence[Mapping[str, Any]]) -> list[bool]:
        return [row.get(self.reward_fn_key) in self.grade_sources for row in rows]


def compute_score(
    data_sources: Sequence[str] | None = None,
    solution_strs: Sequence[str] | None = None,
    ground_truths: Sequence[Any] | None = None,
    extra_infos: Sequence[Mapping[str, Any]] | None = None,
    *,
    group_by: str = "index",
    grade_sources: Sequence[str] = (),
    kind: str = "majority",
    extract: str = "boxed",
    tolerance: float = 0.0,
    ties: str = "none",
    quorum: float = 0.0,
    seed: int = 0,
    **single: Any,
) -> list[dict[str, Any]]:
    """verl's `custom_reward_function` for the managers that hand over a batch (`reward_manager: batch`): one dict a
    row, with `score`. A group are the rows with one (`data_source`, `extra_info[group_by]`); verl's data sets have the
    row's number there as `index`. Settings are given as `custom_reward_function.reward_kwargs`.

    Raises ConfigError when it is called for a single response, as verl 0.9's managers do: one response cannot vote.
    """
    if solution_strs is None or data_sources is None or ground_truths is None or extra_infos is None:
        raise ConfigError(
            "compute_score was called for one response, which cannot vote; let reward.reward_manager name a "
            "mmupt.integrations.verl.VoteLoopManager instead (docs/integrations.md)"
        )
    if single:
        raise ConfigError(f"compute_score has no setting {', '.join(single)}; see its signature")
    voter = Voter(kind, extract, tolerance, ties, quorum, seed)  # type: ignore[arg-type]  # checked there
    rows = [
        {"data_source": source, "reward_model": {"ground_truth": truth}, "extra_info": extra}
        for source, truth, extra in zip(data_sources, ground_truths, extra_infos, strict=True)
    ]
    keys = []
    for source, extra in zip(data_sources, extra_infos, strict=True):
        if group_by not in (extra or {}):
            raise ConfigError(
                f'extra_info has no "{group_by}", by which rows are grouped; name its key as reward_kwargs.group_by'
            )
        keys.append(f"{source}/{extra[group_by]}")
    graded = [source in grade_sources for source in data_sources]
    found = _scored(voter, list(solution_strs), rows, keys, graded)
    return [{"score": told["reward_score"], **told["reward_extra_info"]} for told in found]


def _scored(
    voter: Voter,
    texts: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    keys: Sequence[str],
    graded: Sequence[bool],
) -> list[dict[str, Any]]:
    """What `_told` says of each row, in order: groups are voted on as wholes, `graded` rows against their labels."""
    answers = [voter.answer(text, _choices(row)) for text, row in zip(texts, rows, strict=True)]
    told: dict[int, dict[str, Any]] = {}
    groups: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        if graded[i]:
            right = float(grade(answers[i], _gold(row), choices=_choices(row)))
            told[i] = _told(right, answers[i], share=right)
        else:
            groups[keys[i]].append(i)
    for key, members in groups.items():
        earned: tuple[float, ...]
        vote: Vote
        earned, vote = voter.rewards([answers[i] for i in members], key=key, choices=_choices(rows[members[0]]))
        for i, reward in zip(members, earned, strict=True):
            told[i] = _told(reward, answers[i], share=vote.share)
    return [told[i] for i in range(len(rows))]


def _told(reward: float, answer: str | None, *, share: float) -> dict[str, Any]:
    """`acc` is what verl's validation averages."""
    extra = {"acc": reward, "readable": float(answer is not None), "share": share}
    return {"reward_score": reward, "reward_extra_info": extra}


def _choices(fields: Mapping[str, Any]) -> tuple[str, ...] | None:
    found = (fields.get("extra_info") or {}).get("choices")
    return tuple(str(choice) for choice in found) if found is not None and len(found) else None


def _gold(fields: Mapping[str, Any]) -> str:
    gold = (fields.get("reward_model") or {}).get("ground_truth")
    if gold is None:
        raise ConfigError(
            f'a row of "{fields.get("data_source")}" is to be graded and has no reward_model.ground_truth'
        )
    return str(gold)


def _at_last_token(data: Any, scores: Sequence[float]) -> Tensor:
    import torch

    prompts, responses = data.batch["prompts"], data.batch["responses"]
    lengths = data.batch["attention_mask"][:, prompts.shape[-1] :].sum(dim=-1)
    rewards = torch.zeros_like(responses, dtype=torch.float32)
    last = (lengths - 1).clamp(min=0)
    rewards[torch.arange(len(scores), device=rewards.device), last] = rewards.new_tensor(list(scores))
    return rewards

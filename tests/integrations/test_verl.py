"""The vote under verl: stand-ins of the shapes of verl 0.9.1's DataProto and configuration, which are not installed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from mmupt.errors import ConfigError
from mmupt.integrations.verl import VoteLoopManager, VoteRewardManager, compute_score
from mmupt.integrations.voting import Voter

PROMPT = 3  # tokens, the first of them padding


@dataclass
class Item:
    """As verl's DataProtoItem: one row, without a batch dimension."""

    batch: dict[str, torch.Tensor]
    non_tensor_batch: dict[str, Any]


@dataclass
class Data:
    """As verl's DataProto: tensors with a batch dimension, and object arrays."""

    batch: dict[str, torch.Tensor]
    non_tensor_batch: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.batch["responses"])

    def __getitem__(self, i: int) -> Item:
        assert isinstance(i, int)
        return Item({k: v[i] for k, v in self.batch.items()}, {k: v[i] for k, v in self.non_tensor_batch.items()})

    def row(self, i: int) -> Data:
        return Data(
            {k: v[i : i + 1] for k, v in self.batch.items()},
            {k: v[i : i + 1] for k, v in self.non_tensor_batch.items()},
        )


class Tokenizer:
    """One token a character."""

    def decode(self, ids: torch.Tensor, skip_special_tokens: bool) -> str:
        assert skip_special_tokens
        return "".join(map(chr, ids.tolist()))


def data(texts: Sequence[str], **columns: Sequence[Any]) -> Data:
    """Responses padded right, as verl pads them; a prompt padded left."""
    longest = max(map(len, texts))
    responses = torch.tensor([[*map(ord, text)] + [0] * (longest - len(text)) for text in texts])
    mask = torch.tensor([[0] + [1] * (PROMPT - 1) + [1] * len(t) + [0] * (longest - len(t)) for t in texts])
    batch = {
        "prompts": torch.ones(len(texts), PROMPT, dtype=torch.long),
        "responses": responses,
        "attention_mask": mask,
    }
    arrays = {}
    for name, values in columns.items():
        arrays[name] = np.empty(len(texts), dtype=object)
        arrays[name][:] = list(values)
    return Data(batch, arrays)


def config(n: int, workers: int = 1) -> Any:
    return SimpleNamespace(
        reward=SimpleNamespace(num_workers=workers),
        actor_rollout_ref=SimpleNamespace(rollout=SimpleNamespace(n=n)),
    )


TEXTS = [r"\boxed{3}", r"so \boxed{4}", r"\boxed{3.0}", "hm", r"\boxed{7}", r"\boxed{8}", "", r"it is \boxed{7}"]
UIDS = ["a", "b", "a", "a", "b", "a", "b", "b"]
REWARDS = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0]
BLIND = [{"ground_truth": "never looked at"}] * 8


class TestLoopManager:
    def test_rows_of_one_uid_wait_for_each_other(self) -> None:
        rows = data(TEXTS, uid=UIDS, reward_model=BLIND, data_source=["geo"] * 8, extra_info=[{}] * 8)

        async def ask() -> list[dict[str, Any]]:
            manager = VoteLoopManager(
                config=config(4), tokenizer=Tokenizer(), compute_score=None, reward_router_address=None
            )
            order = list(range(8))
            random.Random(1).shuffle(order)  # rollouts end when they end
            tasks = {}
            for i in order:
                tasks[i] = asyncio.create_task(manager.run_single(rows.row(i)))
                await asyncio.sleep(0)
            return [await tasks[i] for i in range(8)]

        told = asyncio.run(ask())
        assert [t["reward_score"] for t in told] == REWARDS
        assert told[0]["reward_extra_info"] == {"acc": 1.0, "readable": 1.0, "share": 0.5}
        assert told[3]["reward_extra_info"]["readable"] == 0.0

    def test_the_same_uid_comes_again_in_a_later_step(self) -> None:
        async def ask() -> list[float]:
            manager = VoteLoopManager(config=config(2), tokenizer=Tokenizer())
            found = []
            for texts in ([r"\boxed{1}"] * 2, [r"\boxed{2}", r"\boxed{3}"]):
                rows = data(texts, uid=["a", "a"])
                found += await asyncio.gather(*(manager.run_single(rows.row(i)) for i in range(2)))
            return [told["reward_score"] for told in found]

        assert asyncio.run(ask()) == [1.0, 1.0, 0.0, 0.0]

    def test_validation_is_graded_and_waits_for_nobody(self) -> None:
        class Mine(VoteLoopManager):
            voter: ClassVar[Voter] = Voter(extract="lenient")
            grade_sources: ClassVar[frozenset[str]] = frozenset({"test"})

        rows = data(["0.5"], data_source=["test"], reward_model=[{"ground_truth": "1/2"}])
        told = asyncio.run(Mine(config=config(8), tokenizer=Tokenizer()).run_single(rows))
        assert told["reward_score"] == 1.0

    def test_who_does_not_come_is_told(self) -> None:
        class Hasty(VoteLoopManager):
            timeout: ClassVar[float] = 0.05

        manager = Hasty(config=config(2), tokenizer=Tokenizer())
        with pytest.raises(ConfigError, match="only 1 of the 2 responses to prompt a"):
            asyncio.run(manager.run_single(data(["x"], uid=["a"])))

    def test_several_workers_cannot_vote(self) -> None:
        with pytest.raises(ConfigError, match=r"set reward\.num_workers=1"):
            VoteLoopManager(config=config(4, workers=8), tokenizer=Tokenizer())
        with pytest.raises(ConfigError, match="no `uid`"):
            asyncio.run(VoteLoopManager(config=config(4), tokenizer=Tokenizer()).run_single(data(["x"])))

    def test_scores_stand_at_the_last_token(self) -> None:
        scores = VoteLoopManager.assemble_rm_scores(data(["ab", "abcd", ""]), [0.5, 1.0, 0.25])
        assert scores.tolist() == [[0, 0.5, 0, 0], [0, 0, 0, 1.0], [0.25, 0, 0, 0]]


class TestRewardManager:
    def test_groups_are_told_by_uid_wherever_rows_stand(self) -> None:
        rows = data(TEXTS, uid=UIDS, reward_model=BLIND, data_source=["geo"] * 8)
        manager = VoteRewardManager(tokenizer=Tokenizer(), num_examine=0, compute_score=None)
        told = manager(rows, return_dict=True)
        assert isinstance(told, dict)
        assert told["reward_tensor"].sum(-1).tolist() == REWARDS
        assert told["reward_tensor"][1, len(TEXTS[1]) - 1] == 0 and told["reward_tensor"][7, len(TEXTS[7]) - 1] == 1
        assert told["reward_extra_info"]["acc"] == REWARDS
        assert torch.equal(manager(rows), told["reward_tensor"])  # type: ignore[arg-type]

    def test_a_batch_without_uids(self) -> None:
        with pytest.raises(ConfigError, match="no `uid`"):
            VoteRewardManager(Tokenizer())(data(["x"], reward_model=[{}]))


class TestComputeScore:
    def test_rows_of_one_index_are_a_group(self) -> None:
        extra = [{"index": 0 if uid == "a" else 1} for uid in UIDS]
        asked = {"data_sources": ["geo"] * 8, "solution_strs": TEXTS, "ground_truths": [None] * 8, "extra_infos": extra}
        told = compute_score(**asked)
        assert [t["score"] for t in told] == REWARDS
        assert [t["score"] for t in compute_score(**asked, kind="soft")] == [0.5, 0.25, 0.5, 0, 0.5, 0.25, 0, 0.5]
        with pytest.raises(ConfigError, match=r'no "number".*group_by'):
            compute_score(**asked, group_by="number")
        with pytest.raises(ConfigError, match="no setting qourum"):
            compute_score(**asked, qourum=0.5)

    def test_options_and_validation(self) -> None:
        told = compute_score(
            data_sources=["geo", "geo", "test"],
            solution_strs=[r"\boxed{B}", r"\boxed{45}", r"\boxed{3}"],
            ground_truths=["", "", "3.0"],
            extra_infos=[{"index": 1, "choices": ["44", "45"]}, {"index": 1, "choices": ["44", "45"]}, {"index": 1}],
            grade_sources=["test"],
        )
        assert [t["score"] for t in told] == [1.0, 1.0, 1.0]

    def test_one_response_cannot_vote(self) -> None:
        with pytest.raises(ConfigError, match="VoteLoopManager"):
            compute_score(data_source="geo", solution_str="x", ground_truth="1", extra_info={})

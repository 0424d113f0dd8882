"""Several rewards at once, each normalised by itself (arXiv 2605.22620: cluster share and self-certainty, z-scored
apart and added, outlive cluster share alone). Without that, the one with the largest spread would speak for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from mmupt.algo.advantage import group_advantage
from mmupt.errors import ConfigError, TrainingError
from mmupt.rewards.base import Reward, checked
from mmupt.types import GroupScore, Role, RolloutGroup

if TYPE_CHECKING:
    from torch import Tensor


class Combined(Reward):
    """r_i = sum over terms of weight times (r_i of the term - mean) / (std + 1e-6) within the group, a term that says
    the same of all rollouts adding nothing. That sum is the advantage as well, so nothing is normalised twice.

    `components` hold what each term gave, by its name (`soft_vote 2` the second time), and the terms' own components.
    A group that one term sets aside is set aside. A group that a term had sampled beside the step's own is scored by
    that term alone, with its weight. Raises ConfigError where two terms would sample groups of the same role: neither
    could know its own.
    """

    name = "combined"

    def __init__(self, terms: Sequence[tuple[float, Reward]]) -> None:
        self._weights = [weight for weight, _ in terms]
        self._terms = [term for _, term in terms]
        self._names = _numbered([term.name for term in self._terms])
        self._asked: dict[Role, int] = {}
        asking = Counter(term.name for term in self._terms if type(term).companions is not Reward.companions)
        if twice := [name for name, count in asking.items() if count > 1]:
            raise ConfigError(
                f'reward.terms holds "{twice[0]}" more than once, and it samples groups of its own; '
                "keep one of them and give it the weight of all"
            )

    def companions(self, groups: Sequence[RolloutGroup]) -> list[RolloutGroup]:
        asked: dict[Role, int] = {}
        companions: list[RolloutGroup] = []
        for k, term in enumerate(self._terms):
            own = term.companions(groups)
            for role in {group.role for group in own}:
                if asked.setdefault(role, k) != k:
                    raise ConfigError(
                        f'reward.terms: "{self._names[asked[role]]}" and "{self._names[k]}" both sample groups in the '
                        f"role of a {role}; use one of the two"
                    )
            companions.extend(own)
        self._asked = asked
        return companions

    def score(self, groups: Sequence[RolloutGroup]) -> list[GroupScore]:
        parts: list[dict[int, GroupScore]] = [{} for _ in groups]  # for each group, each term's score of it
        for k, term in enumerate(self._terms):
            seen = [i for i, group in enumerate(groups) if group.role == "answer" or self._asked.get(group.role) == k]
            scores = term.score([groups[i] for i in seen])
            for i, score in zip(seen, scores, strict=True):
                parts[i][k] = checked(score, groups[i])
        return [self._sum(part, group) for part, group in zip(parts, groups, strict=True)]

    def _sum(self, part: Mapping[int, GroupScore], group: RolloutGroup) -> GroupScore:
        if not part:
            raise TrainingError(
                f'prompt "{group.prompt.id}" (visit {group.visit}): no term of the combined reward asked for a group '
                f"in the role of a {group.role}; ask for `companions` first"
            )
        sums_G = torch.zeros(group.size, dtype=torch.float64)
        raw: dict[str, tuple[float, ...]] = {}
        own: dict[str, tuple[float, ...]] = {}
        for k, score in part.items():
            sums_G += self._weights[k] * group_advantage(torch.tensor(score.rewards, dtype=torch.float64), "std")
            raw[self._names[k]] = score.rewards
            own = {**score.components, **own}  # where two terms have a component of one name, the first one's stays
        total = tuple(sums_G.tolist())
        set_aside = next((score.set_aside for score in part.values() if score.set_aside is not None), None)
        vote = next(iter(part.values())).vote
        return GroupScore(total, vote, {**own, **raw}, advantages=total, set_aside=set_aside)

    def after_step(self) -> None:
        for term in self._terms:
            term.after_step()

    def freeze(self) -> None:
        for term in self._terms:
            term.freeze()

    def refresh(self) -> None:
        for term in self._terms:
            term.refresh()

    def state(self) -> dict[str, Any]:
        return {name: term.state() for name, term in zip(self._names, self._terms, strict=True)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        for name, term in zip(self._names, self._terms, strict=True):
            term.load_state(state[name])

    def tensors(self) -> dict[str, Tensor]:
        return {
            f"{name}/{key}": tensor
            for name, term in zip(self._names, self._terms, strict=True)
            for key, tensor in term.tensors().items()
        }

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        for name, term in zip(self._names, self._terms, strict=True):
            head = f"{name}/"
            own = {key.removeprefix(head): tensor for key, tensor in tensors.items() if key.startswith(head)}
            if own:
                term.load_tensors(own)


def _numbered(names: Sequence[str]) -> list[str]:
    """["a", "b", "a"] -> ["a", "b", "a 2"]."""
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return numbered

"""A reward of a user's as all others: whatever goes wrong in it is one message with the place in the user's file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from mmupt.answers.settings import AnswerSettings
from mmupt.errors import ConfigError, MmuptError, TrainingError
from mmupt.rewards.base import Reward, checked, group_vote
from mmupt.rewards.own.group import SampledGroup
from mmupt.rewards.own.loading import OwnCode, line_of, load_own
from mmupt.rewards.settings import RewardSettings
from mmupt.types import GroupScore, RolloutGroup, Vote

if TYPE_CHECKING:
    from torch import Tensor

    from mmupt.rewards.tools import Tools

Result = TypeVar("Result")


def build_own(answers: AnswerSettings, reward: RewardSettings, tools: Tools, *, seed: int) -> Reward:
    """The reward that `reward.name` names. A class is built as `Class(answers, reward, tools, seed=seed)`."""
    own = load_own(reward.name)
    if not own.is_class:
        return OwnFunction(own, answers, reward, seed=seed)
    try:
        built = own.target(answers, reward, tools, seed=seed)
    except Exception as error:
        raise ConfigError(
            f'reward "{own.label}" cannot be built: {type(error).__name__}: {error} ({line_of(error, own)}); it is '
            "called with (answers, reward, tools, seed=...)"
        ) from error
    return OwnClass(own, built)


class OwnFunction(Reward):
    """r = f(group), one group at a time; the vote beside it is the group's own, for metrics and guard.

    Raises TrainingError, with prompt and line, where the function raises, gives another number of rewards than the
    group has responses, or one that is not a finite number.
    """

    def __init__(self, own: OwnCode, answers: AnswerSettings, reward: RewardSettings, *, seed: int) -> None:
        self.name = own.label  # type: ignore[misc]  # a class variable of rewards that are one class each
        self._own, self._answers, self._reward, self._seed = own, answers, reward, seed

    def score(self, groups: Sequence[RolloutGroup]) -> list[GroupScore]:
        return [self._score(group) for group in groups]

    def _score(self, group: RolloutGroup) -> GroupScore:
        vote: Vote = group_vote(group, self._answers, self._reward, seed=self._seed)
        own, where = self._own, f'prompt "{group.prompt.id}" (visit {group.visit})'
        try:
            given = own.target(SampledGroup.of(group, vote))
            values = list(given) if isinstance(given, Iterable) and not isinstance(given, str | Mapping) else None
        except Exception as error:
            raise _failed(own, error, where) from error
        if values is None or len(values) != group.size:
            what = f"{len(values)} numbers" if values is not None else _kind(given)
            raise TrainingError(
                f'reward "{own.label}" returned {what} for the {group.size} responses of {where}; it must return one '
                f"number a response ({own.where})"
            )
        rewards = []
        for k, value in enumerate(values):
            try:
                rewards.append(float("nan") if isinstance(value, str) else float(value))
            except (TypeError, ValueError):
                rewards.append(float("nan"))
            if not abs(rewards[-1]) < float("inf"):
                raise TrainingError(
                    f'reward "{own.label}" returned {value!r} for response {k + 1} of {where}; a reward must be a '
                    f"finite number ({own.where})"
                )
        return GroupScore(tuple(rewards), vote)


class OwnClass(Reward):
    """A user's `Reward`, every call of which is watched. Raises TrainingError like `OwnFunction`."""

    def __init__(self, own: OwnCode, inner: Reward) -> None:
        self.name = own.label  # type: ignore[misc]
        self._own, self._inner = own, inner

    def score(self, groups: Sequence[RolloutGroup]) -> list[GroupScore]:
        where = _prompts(groups)
        scores = self._call(lambda: list(self._inner.score(groups)), where)
        if len(scores) != len(groups):
            raise TrainingError(
                f'reward "{self.name}" returned {len(scores)} scores for {len(groups)} groups, {where}; it must return '
                f"one GroupScore a group ({self._own.where})"
            )
        for score, group in zip(scores, groups, strict=True):
            if not isinstance(score, GroupScore):
                raise TrainingError(
                    f'reward "{self.name}" returned {_kind(score)} for prompt "{group.prompt.id}"; it must return one '
                    f"GroupScore a group ({self._own.where})"
                )
            try:
                checked(score, group)
            except (TrainingError, TypeError) as error:
                raise TrainingError(f'reward "{self.name}": {error} ({self._own.where})') from error
        return scores

    def companions(self, groups: Sequence[RolloutGroup]) -> list[RolloutGroup]:
        return self._call(lambda: self._inner.companions(groups), _prompts(groups))

    def after_step(self) -> None:
        self._call(self._inner.after_step, "a step")

    def freeze(self) -> None:
        self._call(self._inner.freeze, "freezing")

    def refresh(self) -> None:
        self._call(self._inner.refresh, "refreshing")

    def state(self) -> dict[str, Any]:
        return self._call(self._inner.state, "saving its state")

    def load_state(self, state: Mapping[str, Any]) -> None:
        self._call(lambda: self._inner.load_state(state), "loading its state")

    def tensors(self) -> dict[str, Tensor]:
        return self._call(self._inner.tensors, "saving its tensors")

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        self._call(lambda: self._inner.load_tensors(tensors), "loading its tensors")

    def _call(self, act: Callable[[], Result], where: str) -> Result:
        try:
            return act()
        except MmuptError:
            raise  # says already what is wrong
        except Exception as error:
            raise _failed(self._own, error, where) from error


def _failed(own: OwnCode, error: Exception, where: str) -> TrainingError:
    return TrainingError(
        f'reward "{own.label}" failed on {where}: {type(error).__name__}: {error} ({line_of(error, own)}); fix it, and '
        "go on with --resume"
    )


def _prompts(groups: Sequence[RolloutGroup]) -> str:
    """The prompts of a call, the first few of many."""
    ids = list(dict.fromkeys(f'"{group.prompt.id}"' for group in groups))
    more = f" and {len(ids) - 4} more" if len(ids) > 4 else ""
    return f"the prompts {', '.join(ids[:4])}{more}" if len(ids) > 1 else f"prompt {ids[0] if ids else 'none'}"


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"

"""The vote as a reward function of TRL's `GRPOTrainer(reward_funcs=...)`. Written for and tested with TRL 1.16.

TRL calls a reward function on every process with that process's rows alone, and a group of `num_generations` rows may
lie on several of them: with two processes of four rows, a group of eight is split, and whoever counts only what it is
given elects two majorities. So the answers of all processes are brought together, every group is voted on as a whole,
and each process returns the rewards of its own rows. In the order of the processes the rows of a group stand next to
each other; that is TRL's own contract, on which its advantages rest (`rewards.view(-1, num_generations)`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmupt.answers.vote import Ties
from mmupt.errors import ConfigError
from mmupt.integrations.voting import Kind, Voter, vote_figures
from mmupt.types import Vote


@dataclass(frozen=True, slots=True)
class _Row:
    """What one process tells the others of a row: the prompt's digest, the answer, the options."""

    prompt: str
    answer: str | None
    choices: tuple[str, ...] | None


class VoteReward:
    """A reward function: 1 for agreeing with the majority of one's group ("soft": the share that agrees).

        config = GRPOConfig(num_generations=8, ...)
        GRPOTrainer(model, reward_funcs=VoteReward(config.num_generations), args=config, train_dataset=prompts)

    The data set needs a `prompt` column, plain or conversational, and no label; where it has `choices` (a list, or
    None), options vote with their texts. `num_generations` must be the trainer's: a mismatch is told where it shows,
    which is when two prompts stand in one group. `num_generations_eval` must be the same.

    Every process must call it as often as every other, as TRL does.
    """

    def __init__(
        self,
        num_generations: int,
        *,
        kind: Kind = "majority",
        extract: str = "boxed",
        tolerance: float = 0.0,
        ties: Ties = "none",
        quorum: float = 0.0,
        seed: int = 0,
        choices_column: str = "choices",
    ) -> None:
        if num_generations < 2:
            raise ValueError(f"num_generations = {num_generations}: a vote needs two or more")
        self.voter = Voter(kind, extract, tolerance, ties, quorum, seed)
        self.num_generations = num_generations
        self.choices_column = choices_column
        self.__name__ = f"{kind}_vote"  # what TRL calls it in its logs

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float]:
        """One finite number for each row of this process. Raises ConfigError, on all processes alike, where rows do not
        fall into groups."""
        options = columns.get(self.choices_column) or [None] * len(prompts)
        digests: dict[int, str] = {}
        rows = []
        for prompt, completion, choices in zip(prompts, completions, options, strict=True):
            chosen = tuple(choices) if choices else None
            if (key := id(prompt)) not in digests:  # pictures are hashed once where rows share their prompt
                digests[key] = prompt_digest(prompt)
            rows.append(_Row(digests[key], self.voter.answer(completion_text(completion), chosen), chosen))
        everybody, first = _gathered(rows)
        rewards, votes = self._vote(everybody)
        log: Callable[[str, float], None] | None = columns.get("log_metric")
        if log is not None and votes:
            for name, value in vote_figures(votes).items():
                log(name, value)
        return rewards[first : first + len(rows)]

    def _vote(self, rows: Sequence[_Row]) -> tuple[list[float], list[Vote]]:
        size = self.num_generations
        if len(rows) % size:
            raise ConfigError(
                f"VoteReward(num_generations={size}) was given {len(rows)} rows by all processes together, which is no "
                "multiple of it; give it the trainer's own: VoteReward(config.num_generations)"
            )
        rewards: list[float] = []
        votes = []
        for start in range(0, len(rows), size):
            group = rows[start : start + size]
            if len({row.prompt for row in group}) > 1:
                raise ConfigError(
                    f"VoteReward(num_generations={size}): rows {start} to {start + size - 1} of all processes do not "
                    "belong to one prompt; give it the trainer's own num_generations, and leave num_generations_eval "
                    "at the same value"
                )
            earned, vote = self.voter.rewards(
                [row.answer for row in group], key=f"{group[0].prompt}/{start}", choices=group[0].choices
            )
            rewards += earned
            votes.append(vote)
        return rewards, votes


def completion_text(completion: Any) -> str:
    """The text of a completion: a string, or a list of messages, of which the assistant's last one says the answer.

    >>> completion_text([{"role": "assistant", "content": [{"type": "text", "text": "so 3"}]}])
    'so 3'
    """
    if isinstance(completion, str):
        return completion
    messages = [message for message in completion if message.get("role", "assistant") == "assistant"]
    content = messages[-1].get("content") if messages else None
    if isinstance(content, str) or content is None:
        return content or ""
    return "".join(str(block.get("text") or "") for block in content)


def prompt_digest(prompt: Any) -> str:
    """The same for the same prompt, pictures included, on every process."""
    digest = hashlib.blake2b(digest_size=16)

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if value is None or isinstance(value, str | int | float | bool):
            return value
        if isinstance(value, bytes):
            return hashlib.blake2b(value, digest_size=16).hexdigest()
        if callable(pixels := getattr(value, "tobytes", None)):  # a PIL picture, an array
            size = getattr(value, "size", None)
            return [type(value).__name__, str(size), hashlib.blake2b(pixels(), digest_size=16).hexdigest()]
        return type(value).__name__

    digest.update(json.dumps(plain(prompt), sort_keys=True).encode())
    return digest.hexdigest()


def _gathered(rows: list[_Row]) -> tuple[list[_Row], int]:
    """The rows of all processes in their order, and where this process's begin."""
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return rows, 0
    parts: list[list[_Row]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, rows)
    first = sum(len(part) for part in parts[: dist.get_rank()])
    return [row for part in parts for row in part], first

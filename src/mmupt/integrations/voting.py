"""What all trainers' rewards share: responses to one prompt in, one number each out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mmupt.answers.extract import extract
from mmupt.answers.vote import Ties, vote
from mmupt.rewards.majority_vote import agreement
from mmupt.rewards.soft_vote import cluster_shares
from mmupt.runtime.seeds import derive_seed
from mmupt.types import Vote

Kind = Literal["majority", "soft"]


@dataclass(frozen=True, slots=True)
class Voter:
    """How a group votes, and what a vote is worth.

    "majority" (MM-UPT, arXiv 2505.22453): 1 for the members of the winning cluster, 0 for all others, and for all where
    nobody wins. "soft" (EMPO, arXiv 2504.05812): the share of the whole group that says the same. A response whose
    answer cannot be read never votes and earns 0. `extract` is "boxed", "lenient" or "tag:NAME"; the other fields are
    those of a recipe's `[answers]` and `[reward]` tables.

    >>> Voter(extract="lenient").rewards(["3", "three", "4", None], key="q1")[0]
    (1.0, 1.0, 0.0, 0.0)
    """

    kind: Kind = "majority"
    extract: str = "boxed"
    tolerance: float = 0.0
    ties: Ties = "none"
    quorum: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError on a kind or a way to read answers that does not exist, at once and not in step 1."""
        if self.kind not in ("majority", "soft"):
            raise ValueError(f'kind "{self.kind}": use "majority" or "soft"')
        if self.ties not in ("none", "first", "random"):
            raise ValueError(f'ties "{self.ties}": use "none", "first" or "random"')
        if not (0 <= self.quorum <= 1 and 0 <= self.tolerance < 1):
            raise ValueError("quorum is a share from 0 to 1, tolerance is relative, from 0 to below 1")
        extract("", self.extract)

    def answer(self, response: str, choices: Sequence[str] | None = None) -> str | None:
        """The answer of a response, None where there is none."""
        return extract(response, self.extract, choices=choices).answer

    def rewards(
        self, answers: Sequence[str | None], *, key: str, choices: Sequence[str] | None = None
    ) -> tuple[tuple[float, ...], Vote]:
        """One reward for each of the G answers of a group, and the vote. `key` names the prompt, for ties that are
        broken by chance."""
        found = vote(
            answers,
            choices=choices,
            tolerance=self.tolerance,
            ties=self.ties,
            quorum=self.quorum,
            seed=derive_seed(self.seed, "tie", key),
        )
        if self.kind == "majority":
            return agreement(found), found
        missed = found.num_answers < self.quorum * found.size
        return ((0.0,) * found.size if missed else cluster_shares(found)), found


def vote_figures(votes: Sequence[Vote]) -> Mapping[str, float]:
    """Means over groups, for a trainer's own log: `share` of the largest cluster, `unreadable` answers, `undecided`
    groups."""
    n = len(votes)
    return {
        "vote/share": sum(vote.share for vote in votes) / n,
        "vote/unreadable": sum(1 - vote.num_answers / vote.size for vote in votes) / n,
        "vote/undecided": sum(vote.winner is None for vote in votes) / n,
    }

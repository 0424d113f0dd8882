"""Groups of responses put to the vote, and the figures of a whole file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mmupt.answers.extract import extract
from mmupt.answers.scoring import majority_correct
from mmupt.answers.settings import AnswerSettings
from mmupt.answers.vote import Ties, vote
from mmupt.offline.grade import grade_answers
from mmupt.offline.output import Record
from mmupt.offline.rows import ResponseRow
from mmupt.runtime.files import well_formed
from mmupt.runtime.seeds import derive_seed
from mmupt.types import Vote


@dataclass(frozen=True, slots=True)
class VotedRow:
    """A group with its vote. `correct` and `responses_correct` are None where the row is not labeled.

    `correct` is how right the vote is, in [0, 1] (see `majority_correct`): a share in a tie without a winner, else 1
    or 0.
    """

    id: str
    vote: Vote
    correct: float | None
    responses_correct: tuple[bool, ...] | None

    def record(self) -> Record:
        """The row of the output. `majority` is the winner's answer as it is shown, null where nobody wins."""
        winner = self.vote.winner
        return {
            "id": self.id,
            "majority": None if winner is None else well_formed(winner.answer),
            "share": self.vote.share,
            "tie": self.vote.tie,
            "num_answers": self.vote.num_answers,
            "correct": self.correct,
        }


@dataclass(slots=True)
class VoteSummary:
    """The figures of the groups added so far."""

    groups: int = 0
    labeled: int = 0
    ties: int = 0
    no_answer_groups: int = 0
    _mean_sum: float = 0.0
    _majority_sum: float = 0.0
    _passed: int = 0

    def add(self, voted: VotedRow) -> None:
        self.groups += 1
        self.ties += voted.vote.tie
        self.no_answer_groups += not voted.vote.clusters
        if voted.correct is None or voted.responses_correct is None:
            return
        self.labeled += 1
        self._mean_sum += sum(voted.responses_correct) / len(voted.responses_correct)
        self._majority_sum += voted.correct
        self._passed += any(voted.responses_correct)

    def figures(self) -> dict[str, object]:
        """The accuracies are means over the labeled groups, None where there is none: of the share of correct
        responses, of the vote, and of whether at least one response is correct."""

        def mean(total: float) -> float | None:
            return total / self.labeled if self.labeled else None

        return {
            "groups": self.groups,
            "mean_accuracy": mean(self._mean_sum),
            "majority_accuracy": mean(self._majority_sum),
            "pass_at_k": mean(self._passed),
            "ties": self.ties,
            "no_answer_groups": self.no_answer_groups,
        }


def vote_row(row: ResponseRow, settings: AnswerSettings, *, ties: Ties, quorum: float, seed: int) -> VotedRow:
    """Put a group to the vote, and grade it where it is labeled. Ties drawn at random derive from (seed, row id)."""
    answers = [extract(response, settings.extract, choices=row.choices).answer for response in row.responses]
    outcome = vote(
        answers,
        choices=row.choices,
        tolerance=settings.tolerance,
        ties=ties,
        quorum=quorum,
        seed=derive_seed(seed, "tie", row.id),
    )
    if row.answer is None:
        return VotedRow(row.id, outcome, None, None)
    shown = [cluster.answer for cluster in outcome.clusters]  # may be a letter that nobody wrote
    verdicts = grade_answers(row, [*answers, *shown], row.answer, settings)
    return VotedRow(
        id=row.id,
        vote=outcome,
        correct=majority_correct(outcome, verdicts.__getitem__, quorum=quorum),
        responses_correct=tuple(a is not None and verdicts[a] for a in answers),
    )


def vote_rows(
    rows: Iterable[ResponseRow],
    settings: AnswerSettings,
    summary: VoteSummary,
    *,
    ties: Ties = "none",
    quorum: float = 0.0,
    seed: int = 0,
) -> Iterator[Record]:
    """The output rows in input order, one at a time; `summary` is complete when they have been gone through."""
    for row in rows:
        voted = vote_row(row, settings, ties=ties, quorum=quorum, seed=seed)
        summary.add(voted)
        yield voted.record()

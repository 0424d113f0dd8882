"""Is B better than A? Paired by question, with intervals, p-values, and a correction for asking several times.

Two measurements of the same questions share what makes a question easy or hard. Differences question by question take
that out, so that they show what two separate intervals cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from mmupt.errors import DataError
from mmupt.evals.compare.measured import Measured, QuestionRecord, load_measured
from mmupt.evals.statistics import PairedDifference, holm, paired_difference
from mmupt.runtime.seeds import derive_seed

Questions = Mapping[str, QuestionRecord]


@dataclass(frozen=True, slots=True)
class FigureComparison:
    """One figure of both: `a` and `b` are means over the paired questions in [0, 1], `p_holm` is corrected for all
    tests of the comparison."""

    name: str
    a: float
    b: float
    difference: PairedDifference
    p_holm: float


@dataclass(frozen=True, slots=True)
class SetComparison:
    """One set that both measured. `gained` questions are right greedily in B alone, `lost` in A alone; `only_a` and
    `only_b` count questions without a partner, which no figure uses."""

    name: str
    pairs: int
    only_a: int
    only_b: int
    gained: int
    lost: int
    figures: tuple[FigureComparison, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `mmupt compare` says. `notes` name the sets that could not be compared."""

    a: str
    b: str
    resamples: int
    seed: int
    sets: tuple[SetComparison, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Plain values, with the keys of the fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Figure:
    """How one figure reads a question: its score in [0, 1], or None where that was not measured."""

    name: str
    score: Callable[[QuestionRecord], float | None]
    any_k: bool = False  # whether it means the same for different numbers of samples


_FIGURES = (
    _Figure("greedy", lambda q: q.greedy_correct, any_k=True),
    _Figure("mean@k", lambda q: _mean(q.correct), any_k=True),
    _Figure("maj@k", lambda q: q.majority_correct),
    _Figure("pass@k", lambda q: any(q.correct) if q.correct else None),
    _Figure("greedy (judge)", lambda q: q.greedy_judged, any_k=True),
    _Figure("mean@k (judge)", lambda q: _mean(q.judged), any_k=True),
    _Figure("pass@k (judge)", lambda q: any(q.judged) if q.judged else None),
)


def compare_runs(a: str, b: str, *, resamples: int = 10_000, seed: int = 0) -> Comparison:
    """Compares two measured stages on every set that both measured.

    `a` and `b` are `RUN_FOLDER` or `RUN_FOLDER:STAGE`; without a stage it is the one measured last. Each figure gets
    B - A with a 95 % paired-bootstrap interval and the p-value of a sign-flip test (see `paired_difference`); Holm's
    correction runs over all of them.

    Raises RunFolderError where a run cannot be read, and DataError where the two share no set with at least 2 common
    questions or where the same question has two gold answers.
    """
    measured_a, measured_b = load_measured(a), load_measured(b)
    sets: list[SetComparison] = []
    notes: list[str] = []
    for name in sorted(measured_a.sets.keys() | measured_b.sets.keys()):
        of_a, of_b = measured_a.sets.get(name, {}), measured_b.sets.get(name, {})
        common = sorted(of_a.keys() & of_b.keys())
        if len(common) < 2:
            notes.append(f"{name}: not compared; A has {len(of_a)} questions, B {len(of_b)}, {len(common)} in both")
            continue
        _check_gold(name, common, of_a, of_b, measured_a, measured_b)
        one = _compare_set(name, common, of_a, of_b, resamples, derive_seed(seed, "compare", name))
        if one.figures:
            sets.append(one)
        else:
            notes.append(f"{name}: not compared; no figure was measured in both")
    if not sets:
        raise DataError(
            f"nothing to compare: {measured_a.label} and {measured_b.label} share no set with 2 common questions. "
            f"A has {_inventory(measured_a)}; B has {_inventory(measured_b)}. Measure both on the same questions"
        )
    return Comparison(measured_a.label, measured_b.label, resamples, seed, _corrected(sets), tuple(notes))


def _compare_set(
    name: str, common: Sequence[str], of_a: Questions, of_b: Questions, resamples: int, seed: int
) -> SetComparison:
    a, b = [of_a[i] for i in common], [of_b[i] for i in common]
    counts_a, counts_b = ({len(q.correct) for q in side} for side in (a, b))
    same_k = len(counts_a | counts_b) == 1
    k = str(*counts_a) if same_k else "k"
    notes = []
    if not same_k:
        notes.append(
            f"numbers of samples differ (A {_listed(counts_a)}, B {_listed(counts_b)}): maj@k and pass@k do not mean "
            "the same and are left out"
        )
    figures = []
    for figure in _FIGURES:
        scores = [(figure.score(x), figure.score(y)) for x, y in zip(a, b, strict=True)]
        pairs = [(x, y) for x, y in scores if x is not None and y is not None]
        if len(pairs) < 2 or not (same_k or figure.any_k):
            continue
        a_Q, b_Q = np.array(pairs, dtype=np.float64).T
        difference = paired_difference(a_Q, b_Q, resamples=resamples, seed=derive_seed(seed, figure.name))
        figures.append(
            FigureComparison(
                figure.name.replace("@k", f"@{k}"),
                float(a_Q.mean()),
                float(b_Q.mean()),
                difference,
                p_holm=difference.p,
            )
        )
    greedy = [(x.greedy_correct, y.greedy_correct) for x, y in zip(a, b, strict=True)]
    return SetComparison(
        name=name,
        pairs=len(common),
        only_a=len(of_a) - len(common),
        only_b=len(of_b) - len(common),
        gained=greedy.count((False, True)),
        lost=greedy.count((True, False)),
        figures=tuple(figures),
        notes=tuple(notes),
    )


def _corrected(sets: Sequence[SetComparison]) -> tuple[SetComparison, ...]:
    """The same sets, with Holm's correction over the tests of all of them."""
    adjusted = iter(holm([figure.difference.p for one in sets for figure in one.figures]))
    return tuple(
        replace(one, figures=tuple(replace(figure, p_holm=next(adjusted)) for figure in one.figures)) for one in sets
    )


def _check_gold(name: str, common: Sequence[str], of_a: Questions, of_b: Questions, a: Measured, b: Measured) -> None:
    """Ids that say the same and mean something else would pair up nonsense."""
    for question in common:
        gold_a, gold_b = of_a[question].gold, of_b[question].gold
        if gold_a != gold_b:
            raise DataError(
                f"{name}: question {question!r} has the answer {gold_a!r} in {a.label} and {gold_b!r} in {b.label}: "
                "these are two data sets; measure both runs on one of them"
            )


def _mean(verdicts: Sequence[bool]) -> float | None:
    return sum(verdicts) / len(verdicts) if verdicts else None


def _listed(counts: set[int]) -> str:
    return ", ".join(map(str, sorted(counts)))


def _inventory(measured: Measured) -> str:
    return ", ".join(f"{name} ({len(questions)} questions)" for name, questions in sorted(measured.sets.items()))

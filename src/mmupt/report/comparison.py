"""Whether two measurements of a run differ by more than chance."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmupt.errors import RunFolderError
from mmupt.evals.records import read_records
from mmupt.evals.statistics import PairedDifference, paired_difference
from mmupt.report.reading import RunData, number

FEWEST_QUESTIONS = 30  # below, a bootstrap interval is not to be trusted
_RESAMPLES = 10_000


def paired_change(run: RunData, before: dict[str, Any], after: dict[str, Any]) -> PairedDifference | None:
    """How mean accuracy changed, question by question, as `mmupt compare` tells it.

    Both measurements ask the same questions, so this sees what two separate intervals cannot. None where fewer than
    30 questions are found in both files of `evals/`.
    """
    old, new = _accuracies(run, before), _accuracies(run, after)
    common = sorted(old.keys() & new.keys())
    if len(common) < FEWEST_QUESTIONS:
        return None
    old_Q, new_Q = (np.array([means[question] for question in common]) for means in (old, new))
    return paired_difference(old_Q, new_Q, resamples=_RESAMPLES, seed=0)


def verdict(run: RunData, before: dict[str, Any], after: dict[str, Any], key: str) -> int:
    """1 where a figure of `summary.json` rose by more than chance explains, -1 where it fell, else 0.

    `mean@k` is judged by the paired change where there is one; other figures by whether their intervals lie apart,
    which is cautious: two intervals can overlap a little and still differ.
    """
    if key.startswith("mean@") and (change := paired_change(run, before, after)) is not None:
        return int(change.low > 0) - int(change.high < 0)
    old, new = interval(before, key), interval(after, key)
    if old is None or new is None:
        return 0
    return int(new[0] > old[1]) - int(new[1] < old[0])


def interval(row: dict[str, Any], key: str) -> tuple[float, float] | None:
    """The interval of a figure in a row of `summary.json`, None where it has none."""
    bounds = row.get(f"{key}_interval")
    if not isinstance(bounds, list) or len(bounds) != 2:
        return None
    low, high = number(bounds[0]), number(bounds[1])
    return None if low is None or high is None else (low, high)


def _accuracies(run: RunData, row: dict[str, Any]) -> dict[str, float]:
    """Mean correctness of the samples of each question, by prompt id."""
    try:
        path = run.layout.eval_parquet(str(row.get("name")))
        if not path.exists():
            return {}
        rows = read_records(path, ["id", "correct"])
    except ValueError:  # a name that no stage can have
        return {}
    except RunFolderError as error:
        run.problems.append(str(error))
        return {}
    return {r["id"]: sum(r["correct"]) / len(r["correct"]) for r in rows if r["correct"]}

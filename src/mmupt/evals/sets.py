"""What a model is measured on: one data set of the user's, or benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mmupt.data.dataset import DataSet
from mmupt.evals.benchmarks.base import Benchmark
from mmupt.types import LabeledPrompt


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Labelled questions under the name that results call them by; `bad_rows` says what happens to one that turns out
    not to be usable when its turn comes."""

    name: str
    rows: DataSet[LabeledPrompt]
    bad_rows: Literal["stop", "skip"]
    benchmark: Benchmark | None = None

    def measurement(self, stage: str) -> str:
        """The name of the files that hold this set's results for a model: `sft`, or `sft.mathvision`."""
        return stage if self.benchmark is None else f"{stage}.{self.benchmark.name}"

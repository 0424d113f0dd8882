"""MATH (arXiv 2103.03874), text only: the 500 test problems on which models are commonly compared.

Layout of `HuggingFaceH4/MATH-500`, split test: problem, solution, answer (what the solution boxes), subject, level,
unique_id. `nlile/hendrycks-MATH-benchmark` has the same columns.
"""

from __future__ import annotations

from mmupt.data.settings import DataSettings
from mmupt.evals.benchmarks.base import Benchmark, OwnRow, SourceRow
from mmupt.evals.benchmarks.fields import known, optional_text, text


def convert(row: SourceRow) -> OwnRow:
    name = optional_text(row, "unique_id")
    return {
        "id": f"math-{name}" if name else None,
        "question": text(row, "problem"),
        "answer": text(row, "answer"),
        "answer_kind": "free",
        "solution": optional_text(row, "solution"),
        "meta": known(row, "subject", "level"),
    }


BENCHMARK = Benchmark(
    name="math",
    title="MATH",
    paper="arXiv 2103.03874",
    data=DataSettings(path="hub:HuggingFaceH4/MATH-500", split="test", placeholders="prepend"),
    source_columns=frozenset({"problem", "answer"}),
    optional_columns=frozenset({"unique_id", "solution", "subject", "level"}),
    convert=convert,
    breakdowns=("subject", "level"),
)

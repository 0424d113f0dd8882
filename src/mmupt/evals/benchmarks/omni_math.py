"""Omni-MATH (arXiv 2410.07985), text only: 4428 olympiad problems.

Layout of `KbsdJames/Omni-MATH`, split test: domain (a list of paths, `Mathematics -> Algebra -> ...`), difficulty (1 to
10 in halves), problem, solution, answer, source. Rows without an answer are left out and counted.
"""

from __future__ import annotations

from mmupt.data.settings import DataSettings
from mmupt.evals.benchmarks.base import Benchmark, OwnRow, SourceRow
from mmupt.evals.benchmarks.fields import items, known, optional_text, text


def convert(row: SourceRow) -> OwnRow:
    return {
        "question": text(row, "problem"),
        "answer": text(row, "answer"),
        "answer_kind": "free",
        "solution": optional_text(row, "solution"),
        "meta": {"domain": _fields(row)} | known(row, "difficulty", "source"),
    }


def _fields(row: SourceRow) -> list[str]:
    """The fields of mathematics, each once: the second name of a path, since all begin with Mathematics."""
    paths = [path.split(" -> ") for path in items(row, "domain", ";")]
    return list(dict.fromkeys(path[min(1, len(path) - 1)].strip() for path in paths))


BENCHMARK = Benchmark(
    name="omni_math",
    title="Omni-MATH",
    paper="arXiv 2410.07985",
    data=DataSettings(path="hub:KbsdJames/Omni-MATH", split="test", placeholders="prepend", bad_rows="skip"),
    source_columns=frozenset({"problem", "answer", "domain", "difficulty"}),
    optional_columns=frozenset({"solution", "source"}),
    convert=convert,
    breakdowns=("domain", "difficulty", "source"),
)

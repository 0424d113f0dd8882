"""Geometry3K (Inter-GPS, arXiv 2105.04165): 601 test problems of school geometry, answered freely as in MM-UPT.

Layout of `hiyouga/geometry3k`, splits train (2101), validation (300), test (601): images (a list), problem (with
`<image>`), answer (a value).
"""

from __future__ import annotations

from mmupt.data.columns import RowProblem
from mmupt.data.settings import DataSettings
from mmupt.evals.benchmarks.base import Benchmark, OwnRow, SourceRow
from mmupt.evals.benchmarks.fields import text


def convert(row: SourceRow) -> OwnRow:
    if not row.get("images"):
        raise RowProblem("images", "holds no picture; load the data set with its pictures")
    return {
        "question": text(row, "problem"),
        "images": row["images"],
        "answer": text(row, "answer"),
        "answer_kind": "free",
        "meta": {},
    }


BENCHMARK = Benchmark(
    name="geometry3k",
    title="Geometry3K",
    paper="arXiv 2105.04165",
    data=DataSettings(path="hub:hiyouga/geometry3k", split="test", placeholders="prepend"),
    source_columns=frozenset({"images", "problem", "answer"}),
    convert=convert,
)

"""ChartQA (arXiv 2203.10244): 2500 test questions on charts, half by people, half by machine.

Layout of `HuggingFaceM4/ChartQA`: image, query, label (a list of one text), human_or_machine (0 human, 1 machine).

The rule `chartqa_relaxed` is the paper's relaxed accuracy: a number may be off by 5 % of the gold number, anything else
must be the same text in any case. As in the widely used implementation, "12%" is 0.12, a gold answer of zero must be
repeated as it is written, thousands separators make a text, and years are numbers like all others.
"""

from __future__ import annotations

from mmupt.data.columns import RowProblem, shown
from mmupt.data.settings import DataSettings
from mmupt.evals.benchmarks.base import Answered, Benchmark, OwnRow, Rule, SourceRow
from mmupt.evals.benchmarks.fields import picture, text, texts

_TOLERANCE = 0.05
_ORIGINS: dict[object, str] = {0: "human", 1: "machine", "human": "human", "machine": "machine"}


def convert(row: SourceRow) -> OwnRow:
    labels = texts(row, "label")
    if len(labels) != 1:
        raise RowProblem("label", f"holds {len(labels)} answers; exactly one belongs here")
    return {
        "question": text(row, "query"),
        "images": [picture(row, "image")],
        "answer": labels[0],
        "answer_kind": "free",
        "meta": _origin(row),
    }


def _origin(row: SourceRow) -> dict[str, object]:
    """Who asked. Copies keep the class as a number or as its name."""
    value = row.get("human_or_machine")
    if value is None:
        return {}
    if value not in _ORIGINS:
        raise RowProblem("human_or_machine", f"holds {shown(value)}; 0 (human) or 1 (machine) belongs here")
    return {"origin": _ORIGINS[value]}


def judge(answered: Answered) -> bool:
    """Relaxed correctness of the answer that was read."""
    if answered.answer is None:
        return False
    answer, gold = answered.answer.strip(), answered.row.answer.strip()
    x, y = _number(answer), _number(gold)
    if x is not None and y:
        return abs(x - y) <= _TOLERANCE * abs(y)
    return answer.lower() == gold.lower()


def _number(written: str) -> float | None:
    try:
        return float(written.removesuffix("%")) / 100 if written.endswith("%") else float(written)
    except ValueError:
        return None


BENCHMARK = Benchmark(
    name="chartqa",
    title="ChartQA",
    paper="arXiv 2203.10244",
    data=DataSettings(path="hub:HuggingFaceM4/ChartQA", split="test", placeholders="prepend"),
    source_columns=frozenset({"image", "query", "label"}),
    optional_columns=frozenset({"human_or_machine"}),
    convert=convert,
    breakdowns=("origin",),
    rules=(Rule("chartqa_relaxed", judge),),
)

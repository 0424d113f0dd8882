"""GeoQA (arXiv 2105.14517), the 8K questions with free answers that MM-UPT trains on.

Layout of the copies of GEOQA_R1V_Train_8K, split train (there is no other): image, problem, solution, which is the
answer in a tag, `<answer> 145° </answer>`. Not confirmed: that `WaltonFuture/GEOQA_R1V_Train_8K` kept these columns;
`images` and a bare `answer`, the layout of MM-UPT's training code, are read as well.
"""

from __future__ import annotations

import re

from mmupt.data.columns import RowProblem
from mmupt.data.settings import DataSettings
from mmupt.evals.benchmarks.base import Benchmark, OwnRow, SourceRow
from mmupt.evals.benchmarks.fields import optional_text, picture, text

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


def convert(row: SourceRow) -> OwnRow:
    return {
        "question": text(row, "problem"),
        "images": row.get("images") or [picture(row, "image")],
        "answer": optional_text(row, "answer") or _tagged(row),
        "answer_kind": "free",
        "meta": {},
    }


def _tagged(row: SourceRow) -> str:
    found = _ANSWER.search(text(row, "solution"))
    if found is None or not found[1].strip():
        raise RowProblem("solution", "holds no <answer>...</answer>, and there is no column answer; check the row")
    return found[1].strip()


BENCHMARK = Benchmark(
    name="geoqa",
    title="GeoQA",
    paper="arXiv 2105.14517",
    data=DataSettings(path="hub:WaltonFuture/GEOQA_R1V_Train_8K", split="train", placeholders="prepend"),
    source_columns=frozenset({"problem"}),
    optional_columns=frozenset({"image", "images", "solution", "answer"}),
    convert=convert,
)

"""PuzzleVQA (arXiv 2403.13315): 2000 abstract patterns of 20 templates.

The authors' layout (LLM-PuzzleTest, PuzzleVQA/data, one JSONL file a template): image, question, options (numbers and
texts mixed), answer (an option's text), caption, explanation, deduction. The last three give the answer away and are
not read. Not confirmed: that `declare-lab/PuzzleVQA` has these columns and the split train, and a column category.
The template is that column, or else the picture's file name without its number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from mmupt.data.settings import DataSettings
from mmupt.evals.benchmarks.base import Benchmark, OwnRow, SourceRow
from mmupt.evals.benchmarks.fields import letter_of, optional_text, picture, text, texts

_NAME = re.compile(r"(.+)_\d+")


def convert(row: SourceRow) -> OwnRow:
    options = texts(row, "options")
    image = picture(row, "image")
    path = image.get("path") if isinstance(image, Mapping) else image
    named = _NAME.fullmatch(PurePosixPath(path).stem) if isinstance(path, str) else None
    template = optional_text(row, "category") or (named[1] if named else None)
    return {
        "id": f"puzzlevqa-{named[0]}" if named else None,
        "question": text(row, "question"),
        "images": [image],
        "choices": list(options),
        "answer": letter_of(row, "answer", options),
        "answer_kind": "letter",
        "meta": {"template": template} if template else {},
    }


BENCHMARK = Benchmark(
    name="puzzlevqa",
    title="PuzzleVQA",
    paper="arXiv 2403.13315",
    data=DataSettings(path="hub:declare-lab/PuzzleVQA", split="train", placeholders="prepend"),
    source_columns=frozenset({"image", "question", "options", "answer"}),
    optional_columns=frozenset({"category"}),
    convert=convert,
    breakdowns=("template",),
)

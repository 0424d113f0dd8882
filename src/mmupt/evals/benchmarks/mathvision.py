"""MATH-Vision (arXiv 2402.14804): 3040 competition problems, 16 subjects, 5 levels.

Layout of `MathLLMs/MathVision`, splits test (3040) and testmini (304): id, question (with `<image1>`, ... although one
picture shows all), options (empty for free answers), image (a path), decoded_image, answer (a letter where there are
options), solution, level, subject. The authors' JSONL files lack decoded_image; `image` is then the picture.
"""

from __future__ import annotations

from mmupt.data.settings import DataSettings
from mmupt.evals.benchmarks.base import Benchmark, OwnRow, SourceRow
from mmupt.evals.benchmarks.fields import gold_letter, known, optional_text, picture, text, texts


def convert(row: SourceRow) -> OwnRow:
    options = texts(row, "options")
    return {
        "id": f"mathvision-{text(row, 'id')}",
        "question": text(row, "question"),
        "images": [picture(row, "decoded_image", "image")],
        "choices": list(options) or None,
        "answer": gold_letter(row, "answer", options) if options else text(row, "answer"),
        "answer_kind": "letter" if options else "free",
        "solution": optional_text(row, "solution"),
        "meta": known(row, "level", "subject"),
    }


BENCHMARK = Benchmark(
    name="mathvision",
    title="MATH-Vision",
    paper="arXiv 2402.14804",
    data=DataSettings(path="hub:MathLLMs/MathVision", split="test", placeholders="prepend"),
    source_columns=frozenset({"id", "question", "options", "answer"}),
    optional_columns=frozenset({"image", "decoded_image", "solution", "level", "subject"}),
    convert=convert,
    breakdowns=("subject", "level"),
)

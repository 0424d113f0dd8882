"""MathVerse (arXiv 2403.14624): 788 problems in five versions, from text dominant to vision only (testmini, 3940).

Layout of `AI4Math/MathVerse`, subset and split testmini: sample_index, problem_index, problem_version, question, image,
answer, question_type (multi-choice, free-form), metadata (source, subject, subfield), query_wo, query_cot,
question_for_eval (the full question even where the picture asks it).

A multiple-choice question holds its options (`Choices:` and lines `A:65°`). They become `choices`, so that they are
listed once. Where they do not split beyond doubt, and in "Vision Only", whose options stand in the picture alone, the
choices are the letters.
"""

from __future__ import annotations

import re

from mmupt.data.columns import RowProblem
from mmupt.data.settings import DataSettings
from mmupt.evals.benchmarks.base import Benchmark, OwnRow, SourceRow
from mmupt.evals.benchmarks.fields import (
    count_letters,
    gold_letter,
    known,
    lettered_options,
    letters,
    mapping,
    optional_text,
    picture,
    text,
)

_SHOWN = "Solve the problem that the image shows."
_CHOICES = re.compile(r"\s*\bChoices?\s*:\s*(?=A\s*[.:．：、])")


def convert(row: SourceRow) -> OwnRow:
    question, choices = _question(row)
    return {
        "id": f"mathverse-{text(row, 'sample_index')}",
        "question": question,
        "images": [picture(row, "image")],
        "choices": list(choices) or None,
        "answer": gold_letter(row, "answer", choices) if choices else text(row, "answer"),
        "answer_kind": "letter" if choices else "free",
        "meta": known(row, "problem_version", "problem_index", "question_type")
        | known(mapping(row, "metadata"), "subject", "subfield", "source"),
    }


def _question(row: SourceRow) -> tuple[str, tuple[str, ...]]:
    question = optional_text(row, "question")
    if row.get("question_type") != "multi-choice":
        return question or _SHOWN, ()
    if question is not None:
        asked, *listed = _CHOICES.split(question, maxsplit=1)
        options = lettered_options(listed[0]) if listed else None
        if options is not None:
            return asked, options
    full = optional_text(row, "question_for_eval") or question or ""
    count = count_letters(_CHOICES.split(full, maxsplit=1)[-1])
    if count < 2:
        raise RowProblem("question_for_eval", "names no options, although question_type is multi-choice; check the row")
    return question or _SHOWN, letters(count)


BENCHMARK = Benchmark(
    name="mathverse",
    title="MathVerse",
    paper="arXiv 2403.14624",
    data=DataSettings(path="hub:AI4Math/MathVerse", subset="testmini", split="testmini", placeholders="prepend"),
    source_columns=frozenset({"sample_index", "problem_version", "question", "answer", "question_type"}),
    optional_columns=frozenset({"problem_index", "image", "metadata", "question_for_eval"}),
    convert=convert,
    breakdowns=("problem_version", "question_type", "subject", "subfield"),
)

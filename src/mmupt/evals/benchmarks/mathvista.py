"""MathVista (arXiv 2310.02255): 1000 questions of testmini over figures, geometry, word problems, textbooks, pictures.

Layout of `AI4Math/MathVista`: pid, question, image (a path), decoded_image, choices (null for free answers), unit,
precision, answer (an option's text), question_type (multi_choice, free_form), answer_type (text, integer, float, list),
metadata (source, category, task, context, grade, skills, language), query. The query of the authors says the unit and
the kind of number asked for; so does the question here, in words of our own.

The rule `mathvista` is the authors' (their calculate_score): an option is named by a letter in parentheses, by a bare
letter, or else is the one with the smallest edit distance to the answer; integers are cut, floats rounded to
`precision`; then the texts must be equal. It departs in one point: an answer that could not be read is wrong, while
the authors compare an empty text with the options and so credit the shortest.
"""

from __future__ import annotations

import re

from mmupt.answers.text import MAX_LENGTH
from mmupt.data.columns import LETTERS, RowProblem
from mmupt.data.settings import DataSettings
from mmupt.evals.benchmarks.base import Answered, Benchmark, OwnRow, Rule, SourceRow, gold_text
from mmupt.evals.benchmarks.fields import known, letter_of, mapping, optional_text, picture, text, texts

_LETTER = re.compile(r"\(([A-Za-z])\)")
_PLACES = {1: "one decimal place", 2: "two decimal places", 3: "three decimal places"}
_METADATA = ("source", "category", "task", "context", "grade", "skills", "language")


def convert(row: SourceRow) -> OwnRow:
    choices = texts(row, "choices")
    precision = _precision(row)
    meta = known(row, "question_type", "answer_type") | known(mapping(row, "metadata"), *_METADATA)
    return {
        "id": f"mathvista-{text(row, 'pid')}",
        "question": _question(row, precision),
        "images": [picture(row, "decoded_image", "image")],
        "choices": list(choices) or None,
        "answer": letter_of(row, "answer", choices) if choices else text(row, "answer"),
        "answer_kind": "letter" if choices else "free",
        "unit": optional_text(row, "unit"),
        "meta": meta if precision is None else meta | {"precision": precision},
    }


def _precision(row: SourceRow) -> int | None:
    """Decimals of a float answer. Copies keep whole numbers as 1.0, and integers may have one that means nothing."""
    value = row.get("precision")
    if row.get("answer_type") != "float" or value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 0:
        raise RowProblem("precision", f"is {value!r}; a number of decimals belongs here")
    return int(value)


def _question(row: SourceRow, precision: int | None) -> str:
    question, unit, kind = text(row, "question"), optional_text(row, "unit"), row.get("answer_type")
    if unit and "(Unit:" not in question:
        question += f" (Unit: {unit})"
    if row.get("question_type") == "multi_choice":
        return question
    if kind == "integer":
        return f"{question}\nThe answer is a whole number."
    if kind == "float" and precision is not None:
        return f"{question}\nThe answer is a number with {_PLACES.get(precision, f'{precision} decimal places')}."
    if kind == "list":
        return f"{question}\nThe answer is a list, such as [1, 2, 3]."
    return question


def judge(answered: Answered) -> bool:
    """The authors' verdict on the answer that was read."""
    answer, row = answered.answer, answered.row
    if answer is None or len(answer) > MAX_LENGTH:
        return False
    if row.prompt.choices:
        return nearest_option(answer.strip(), row.prompt.choices) == gold_text(row)
    kind, precision = row.meta.get("answer_type"), row.meta.get("precision")
    try:
        if kind == "integer":
            answer = str(int(float(answer)))
        elif kind == "float":
            answer = str(round(float(answer), precision if isinstance(precision, int) else None))
    except (ValueError, OverflowError):  # no number, or one that is not finite
        return False
    return answer == row.answer


def nearest_option(answer: str, choices: tuple[str, ...]) -> str:
    """The option that an answer names by letter, or else resembles most (the first of several)."""
    letter = _LETTER.search(answer)
    if letter:
        answer = letter[1].upper()
    index = LETTERS.find(answer) if len(answer) == 1 else -1
    if 0 <= index < len(choices):
        return choices[index]
    return min(choices, key=lambda choice: edit_distance(answer, choice))


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance: insertions, deletions and substitutions that lead from `a` to `b`."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


BENCHMARK = Benchmark(
    name="mathvista",
    title="MathVista",
    paper="arXiv 2310.02255",
    data=DataSettings(path="hub:AI4Math/MathVista", split="testmini", placeholders="prepend"),
    source_columns=frozenset({"pid", "question", "answer", "question_type", "answer_type"}),
    optional_columns=frozenset({"image", "decoded_image", "choices", "unit", "precision", "metadata"}),
    convert=convert,
    breakdowns=("question_type", "answer_type", "task", "context", "grade", "skills", "category", "source", "language"),
    rules=(Rule("mathvista", judge),),
)

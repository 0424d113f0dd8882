"""TabMWP (arXiv 2209.14610): word problems on tables, each table also drawn as a picture.

The authors publish one object a problem (PromptPG, data/tabmwp): question, choices, answer (an option's text), unit,
table_title, table (as text), solution, ques_type (free_text, multi_choice), ans_type, grade; the pictures lie beside
it, named by the problem's id. No copy on the hub is confirmed to hold the pictures, so a path must be given. Rows in
the authors' layout are read where each line also has `image`, the picture of its table, and best an `id`.

The rule `tabmwp` is the authors' comparison (their normalize_answer): numbers without `$` and separators, rounded to
three decimals; texts without the unit; in any case. An answer to a choice question names its option by letter, or is
taken for the one with the largest share of common words. It departs in two points: their search for an answer within a
response is left to ours, and an answer that shares no word with any option is wrong instead of the first option.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmupt.answers.choices import option_index
from mmupt.answers.text import MAX_LENGTH
from mmupt.data.settings import DataSettings
from mmupt.evals.benchmarks.base import Answered, Benchmark, OwnRow, Rule, SourceRow, gold_text
from mmupt.evals.benchmarks.fields import known, letter_of, optional_text, picture, text, texts

_NUMBER = re.compile(r"[-+]?[\d,./]+")


def convert(row: SourceRow) -> OwnRow:
    choices = texts(row, "choices")
    unit, name = optional_text(row, "unit"), optional_text(row, "id")
    question = text(row, "question")
    return {
        "id": f"tabmwp-{name}" if name else None,
        "question": f"{question} (Unit: {unit})" if unit else question,
        "images": [picture(row, "image")],
        "choices": list(choices) or None,
        "answer": letter_of(row, "answer", choices) if choices else text(row, "answer"),
        "answer_kind": "letter" if choices else "free",
        "ans_type": optional_text(row, "ans_type"),
        "unit": unit,
        "solution": optional_text(row, "solution"),
        "meta": known(row, "ques_type", "grade", "table_title", "table"),
    }


def judge(answered: Answered) -> bool:
    """The authors' comparison of the answer that was read."""
    answer, row = answered.answer, answered.row
    if answer is None or len(answer) > MAX_LENGTH:
        return False
    if row.prompt.choices:
        return _option(answer, row.prompt.choices) == gold_text(row)
    return normalised(answer, row.unit) == normalised(row.answer, row.unit)


def normalised(answer: str, unit: str | None) -> str:
    """`$1,250.50` as `1250.5`, `1/3` as `0.333`, `5 pounds` without its unit."""
    answer = re.sub(r"[,./]$", "", answer.strip().replace("−", "-").removeprefix("$"))
    if not _NUMBER.fullmatch(answer):
        return (answer.replace(unit, "") if unit else answer).strip().casefold()
    digits = answer.replace(",", "")
    top, slash, bottom = digits.partition("/")
    try:
        value = float(top) / float(bottom) if slash else float(digits)
    except (ValueError, ZeroDivisionError):  # a date, a time, a fraction of nothing: text after all
        return digits
    return f"{round(value, 3) + 0.0:.3f}".rstrip("0").rstrip(".")


def _option(answer: str, choices: Sequence[str]) -> str | None:
    index = option_index(answer, tuple(choices))
    if index is not None:
        return choices[index]
    words = set(answer.split())
    shares = [len(words & set(choice.split())) / max(len(words), len(choice.split()), 1) for choice in choices]
    return choices[shares.index(max(shares))] if max(shares) > 0 else None


BENCHMARK = Benchmark(
    name="tabmwp",
    title="TabMWP",
    paper="arXiv 2209.14610",
    data=DataSettings(path="tabmwp", split="test", placeholders="prepend"),
    source_columns=frozenset({"question", "answer", "choices", "ques_type", "image"}),
    optional_columns=frozenset({"id", "unit", "ans_type", "solution", "grade", "table_title", "table"}),
    convert=convert,
    breakdowns=("ques_type", "ans_type", "grade"),
    rules=(Rule("tabmwp", judge),),
)

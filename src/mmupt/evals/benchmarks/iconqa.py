"""IconQA (arXiv 2110.13214): abstract diagrams; choose a picture, choose a text, or fill in a blank.

Layout of `lmms-lab/ICON-QA`, splits val and test: question_id, question, choices (texts with commas between them),
answer (an option's text, or the filling), query_image, choice_image_0, choice_image_1, ques_type (choose_img,
choose_txt, fill_in_blank), label, grade, skills. Not confirmed: whether skills are a list or a text with commas (both
are read), and whether there are choice_image columns beyond the second (they are read where there are).

Where the options are pictures they stand in the question, and the choices are the letters. A question with more
picture options than the copy has pictures cannot be asked; such rows are left out and counted.
"""

from __future__ import annotations

from mmupt.data.columns import LETTERS, PLACEHOLDER, RowProblem
from mmupt.data.settings import DataSettings
from mmupt.evals.benchmarks.base import Benchmark, OwnRow, SourceRow
from mmupt.evals.benchmarks.fields import (
    items,
    known,
    letter_of,
    letters,
    optional_picture,
    optional_text,
    picture,
    text,
)

_PICTURES = tuple(f"choice_image_{i}" for i in range(5))


def convert(row: SourceRow) -> OwnRow:
    kind, question = text(row, "ques_type"), text(row, "question")
    options = () if kind == "fill_in_blank" else items(row, "choices", ",")
    if kind == "choose_img":
        question, images = _with_pictures(row, question, options)
    elif kind in ("choose_txt", "fill_in_blank"):
        images = [picture(row, "query_image")]
    else:
        raise RowProblem("ques_type", f'is "{kind}"; choose_img, choose_txt and fill_in_blank are known')
    name = optional_text(row, "question_id")
    return {
        "id": f"iconqa-{name}" if name else None,
        "question": question,
        "images": images,
        "choices": list(letters(len(options)) if kind == "choose_img" else options) or None,
        "answer": text(row, "answer") if kind == "fill_in_blank" else letter_of(row, "answer", options),
        "answer_kind": "free" if kind == "fill_in_blank" else "letter",
        "meta": known(row, "ques_type", "grade") | {"skills": list(items(row, "skills", ","))},
    }


def _with_pictures(row: SourceRow, question: str, options: tuple[str, ...]) -> tuple[str, list[object]]:
    """The question with one placeholder for each option behind it."""
    query = optional_picture(row, "query_image")
    images = [] if query is None else [query]
    lines = [PLACEHOLDER * len(images) + question]
    for letter, option, column in zip(LETTERS, options, (*_PICTURES, *options), strict=False):
        image = optional_picture(row, column) if column in _PICTURES else None
        if image is None:
            raise RowProblem("choices", f'names "{option}", a picture that this copy lacks; leave the row out')
        images.append(image)
        lines.append(f"({letter}) {PLACEHOLDER}")
    return "\n".join(lines), images


BENCHMARK = Benchmark(
    name="iconqa",
    title="IconQA",
    paper="arXiv 2110.13214",
    data=DataSettings(path="hub:lmms-lab/ICON-QA", split="test", placeholders="prepend", bad_rows="skip"),
    source_columns=frozenset({"question", "choices", "answer", "query_image", "ques_type"}),
    optional_columns=frozenset({"question_id", "grade", "skills", *_PICTURES}),
    convert=convert,
    breakdowns=("ques_type", "grade", "skills"),
)

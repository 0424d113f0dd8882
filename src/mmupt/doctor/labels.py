"""Gold answers that no response could ever match: rows whose reward or score would be 0 whatever is answered."""

from __future__ import annotations

from collections.abc import Iterator

from mmupt.answers.equivalence import canonical, grade
from mmupt.answers.extract import extract
from mmupt.answers.settings import AnswerSettings
from mmupt.doctor.case import Case, Source
from mmupt.doctor.finding import Finding, count, listed
from mmupt.types import LabeledPrompt


def labels(case: Case) -> Iterator[Finding]:
    """Of stages and evaluations that read labels. Drawn rows are their own proof."""
    for source in case.sources:
        if source.answers is None or source.drawn:
            continue
        labeled = [row for row in source.rows if isinstance(row, LabeledPrompt)]
        yield from _unmatched(source, labeled, source.answers)
        strange = [row.prompt.id for row in labeled if _names_no_option(row)]
        if strange:
            yield Finding(
                "labels",
                "warning",
                f"{source.place}: {count(len(strange), 'answer')} name none of their question's choices "
                f"({listed(strange)})",
                "write the letter or the text of the option",
                tuple(strange),
            )


def _unmatched(source: Source, labeled: list[LabeledPrompt], answers: AnswerSettings) -> Iterator[Finding]:
    lost = [row.prompt.id for row in labeled if not matches_itself(row, answers)]
    if lost:
        yield Finding(
            "labels",
            "warning",
            f"{source.place}: {count(len(lost), 'gold answer')} cannot be read back: a response that says exactly this "
            f"would not be graded right ({listed(lost)})",
            "write the answer alone, as it would stand in \\boxed{}; leave sentences and explanations out",
            tuple(lost),
        )


def matches_itself(row: LabeledPrompt, answers: AnswerSettings) -> bool:
    """Whether a response that gives the gold answer in the place where answers are looked for is correct."""
    if answers.extract.startswith("tag:"):
        name = answers.extract[4:]
        response = f"<{name}>{row.answer}</{name}>"
    else:
        response = rf"\boxed{{{row.answer}}}"
    choices = row.prompt.choices
    answer = extract(response, answers.extract, choices=choices).answer
    return grade(answer, row.answer, choices=choices, unit=row.unit, tolerance=answers.tolerance)


def _names_no_option(row: LabeledPrompt) -> bool:
    choices = row.prompt.choices
    return choices is not None and canonical(row.answer, choices=choices)[0] not in ("option", "options")

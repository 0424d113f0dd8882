"""`page.html`: pictures with the questions they had and those written about them, each with its verdict. One page that
needs nothing but itself; it has no script, and what it shows is chosen by radio buttons and style sheets alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from mmupt.data.columns import PLACEHOLDER
from mmupt.report.views import Picture, clean, picture
from mmupt.runtime.files import write_text
from mmupt.synth.candidates import read_rows
from mmupt.synth.filters import MEANING, Reason
from mmupt.synth.report import SynthReport

SHOWN = 80
"""Pictures on the page; of more, so many are taken at equal distances."""
_LONG, _RESPONSE = 1500, 3000  # characters of a question, of a response
_FEW_ANSWERS = 6


@dataclass(frozen=True, slots=True)
class Ballot:
    answer: str | None
    count: int
    percent: float
    won: bool


@dataclass(frozen=True, slots=True)
class CandidateView:
    """`verdict` is "kept", or the reason in words; `text` the question, or where none could be read the response."""

    id: str
    kept: bool
    verdict: str
    meaning: str
    detail: str
    text: str
    response: str
    differs: bool
    ballots: tuple[Ballot, ...]
    more_answers: int
    vote: str


@dataclass(frozen=True, slots=True)
class SubjectView:
    id: str
    pictures: tuple[Picture, ...]
    originals: tuple[tuple[str, tuple[str, ...], str], ...]  # question, choices, the answer that was shown
    candidates: tuple[CandidateView, ...]
    passed_over: tuple[str, ...]
    kept: int


def write_page(candidates: Path, report: SynthReport, page: Path) -> None:
    """Writes the page about a file of candidates, atomically. Model output is hostile: everything is escaped, and cut
    to a length a page bears; pictures are decoded and encoded anew."""
    # The page shares the look of a run's report: its style sheet is included, not copied.
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("mmupt.synth", "."), PackageLoader("mmupt.report", ".")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = read_rows(candidates)
    html = environment.get_template("page.html.j2").render(_values(rows, report))
    write_text(page, html)


def _values(rows: Sequence[dict[str, Any]], report: SynthReport) -> dict[str, Any]:
    chosen = [rows[i * len(rows) // min(SHOWN, len(rows))] for i in range(min(SHOWN, len(rows)))]
    outcomes = [("kept", "in the data set", report.kept), *((r, MEANING[r], n) for r, n in report.reasons)]
    return {
        "name": clean(report.stage),
        "facts": [
            ("mode", clean(report.mode.replace("_", " "))),
            ("model", clean(report.model)),
            ("seed", str(report.seed)),
            ("pictures", f"{report.subjects:,}"),
            ("written", f"{report.written:,}"),
            ("kept", f"{report.kept:,}"),
        ],
        "outcomes": [
            {
                "name": str(name).replace("_", " "),
                "meaning": meaning,
                "count": count,
                "percent": 100 * count / max(1, report.written),
                "kept": name == "kept",
            }
            for name, meaning, count in outcomes
        ],
        "passed_over": [(clean(why, 400), count) for why, count in report.passed_over.items()],
        "advice": [clean(line, 600) for line in report.advice] if not report.kept else [],
        "template": clean(report.template, 4000),
        "subjects": [_subject(row) for row in chosen],
        "all": len(rows),
        "share": f"{report.share:.0%}" if report.kept else "",
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _subject(row: dict[str, Any]) -> SubjectView:
    given = {found["source"]: found["given"] for found in row["candidates"] if found["given"] is not None}
    return SubjectView(
        id=clean(row["subject"]),
        pictures=tuple(picture(image) for image in row["images"]),
        originals=tuple(
            (
                clean(original["question"].replace(PLACEHOLDER, " ").strip(), _LONG),
                tuple(clean(choice, 300) for choice in original["choices"]),
                clean(given.get(original["id"], "")),
            )
            for original in row["originals"]
        ),
        candidates=tuple(_candidate(found) for found in row["candidates"]),
        passed_over=tuple(clean(why, 400) for _, why in row["passed_over"]),
        kept=sum(found["dropped"] is None for found in row["candidates"]),
    )


def _candidate(found: dict[str, Any]) -> CandidateView:
    reason: Reason | None = found["dropped"]
    question, response = found["question"], found["response"]
    ballots = _ballots(found)
    vote = "" if found["share"] is None else f"{found['share']:.0%} of {len(found['answers'])} answers agree"
    if found["blind"] is not None:
        vote += f"; {found['blind']:.0%} say the same without the picture"
    return CandidateView(
        id=clean(found["id"]),
        kept=reason is None,
        verdict="kept" if reason is None else reason.replace("_", " "),
        meaning="in the data set" if reason is None else MEANING[reason],
        detail="" if reason in ("hopeless", "trivial") else clean(found["detail"], 400),  # the vote says the same
        text=clean(question if question is not None else response, _LONG),
        response=clean(response, _RESPONSE),
        differs=question is not None and question.strip() != response.strip(),
        ballots=tuple(ballots[:_FEW_ANSWERS]),
        more_answers=len(ballots[_FEW_ANSWERS:]),
        vote=vote,
    )


def _ballots(found: dict[str, Any]) -> list[Ballot]:
    """Answers by their spelling, the majority first. The vote itself takes some spellings for one (see `share`)."""
    counts = Counter(found["answers"])
    ordered = sorted(counts.items(), key=lambda item: (item[0] != found["majority"], item[0] is None, -item[1]))
    size = max(1, len(found["answers"]))
    return [
        Ballot(None if a is None else clean(a), n, 100 * n / size, a is not None and a == found["majority"])
        for a, n in ordered
    ]

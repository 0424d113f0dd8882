"""mmupt's reading and grading against math-verify, mathruler and the data sets' own graders, on real responses.

    python benchmarks/graders.py [--responses FOLDER] [--json]

Needs `pip install mathruler pylatexenc` beside mmupt (mathruler does not say that it needs the latter), and the folder
with the response files (`../shared/data/responses` unless told). For each set of rows and each grader: agreement with
the truth, wrong credit (called right, is wrong), missed credit (called wrong, is right), errors (exceptions, which
count as "wrong"), and seconds for 1000 responses on one core, everything cold.

Truth: on MATH-Vision the verdict of the authors' grader where a second grader agrees with it, and ours by hand on the
44 rows where the two differ (see `JUDGED`); on the free-form rows of TabMWP the authors' verdict; on groups of answers
the exact verdict they were trained with; on the tricky rows a person's verdict.

A peer without a rule for choices gets credit for the letter or for the option's text. Each peer runs twice: reading the
response by itself, and comparing what mmupt has read, so that reading and comparing can be told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

Grader = Callable[["Case"], bool]

# The 44 rows of MATH-Vision on which the two graders differ were read one by one. All say the right thing in a form
# one of the graders does not know (a value with its unit, an angle in degrees, \textbf{A}), except these: 2822 gives
# 1/3 for a number that is 1/3 to two decimals only; 84 boxes one answer and then names another (None: not counted).
JUDGED = {"2822": False, "84": None}


@dataclass(frozen=True, slots=True)
class Case:
    """One response. `theirs` is the verdict of the data set's own grader, where it is known and not the truth."""

    response: str
    gold: str
    choices: tuple[str, ...] | None
    unit: str | None
    precision: int | None
    mode: str
    truth: bool
    theirs: bool | None = None


def mathvision(rows: list[dict[str, Any]]) -> Iterator[Case]:
    for row in rows:
        truth = row["ref_correct"] if row["consensus"] else JUDGED.get(row["id"], True)
        if truth is not None:
            yield case(row, row["response"], "lenient", truth, row["ref_correct"])


def tabmwp(rows: list[dict[str, Any]]) -> Iterator[Case]:
    for row in rows:
        if row["ques_type"] == "free_text":
            yield case(row, row["response"], "lenient", row["ref_correct"])


def groups(mode: str) -> Callable[[list[dict[str, Any]]], Iterator[Case]]:
    def read(rows: list[dict[str, Any]]) -> Iterator[Case]:
        for row in rows:
            for response, correct in zip(row["responses"], row["ref_correct"], strict=True):
                yield case(row, response, mode, correct)

    return read


def tricky(rows: list[dict[str, Any]]) -> Iterator[Case]:
    for row in rows:
        if row["verdict"] is not None:
            yield case(row, row["response"], "lenient", row["verdict"])


def case(row: dict[str, Any], response: str, mode: str, truth: bool, theirs: bool | None = None) -> Case:
    choices = tuple(row["choices"]) if row["choices"] else None
    precision = row.get("precision")
    return Case(
        response,
        row["answer"],
        choices,
        row.get("unit"),
        None if precision is None else int(precision),
        mode,
        bool(truth),
        None if theirs is None else bool(theirs),
    )


SETS: dict[str, tuple[str, Callable[[list[dict[str, Any]]], Iterator[Case]]]] = {
    "MATH-Vision": ("mathvision_InternLM_XComposer2_VL_CoT.jsonl", mathvision),
    "TabMWP, free form": ("tabmwp_gpt3_exp4.jsonl", tabmwp),
    "groups, letters in tags": ("groups_symbolic_conventional_k10.jsonl", groups("tag:answer")),
    "groups, boxes": ("groups_gsm8k_code_k8.jsonl", groups("boxed")),
    "tricky": ("tricky.jsonl", tricky),
}


def mmupt_grader(case: Case) -> bool:
    from mmupt.answers.equivalence import grade

    answer = read(case)
    return grade(answer, case.gold, choices=case.choices, unit=case.unit, precision=case.precision)


def read(case: Case) -> str | None:
    from mmupt.answers.extract import extract

    return extract(case.response, case.mode, choices=case.choices).answer


def golds(case: Case) -> list[str]:
    """The gold answer, and for a letter the text of its option."""
    index = ord(case.gold) - ord("A") if len(case.gold) == 1 and case.gold.isupper() else -1
    return [case.gold, case.choices[index]] if case.choices and 0 <= index < len(case.choices) else [case.gold]


def by_math_verify(case: Case, response: str) -> bool:
    from math_verify import (
        ExprExtractionConfig,
        LatexExtractionConfig,
        StringExtractionConfig,
        parse,
        verify,
    )

    letters = StringExtractionConfig(strings=tuple("ABCDE"))
    configs = [LatexExtractionConfig(), ExprExtractionConfig(), *([letters] if case.choices else [])]
    answer = parse(response, extraction_config=configs)
    return any(
        verify(parse(gold if "$" in gold else f"${gold}$", extraction_config=configs), answer)
        or verify(parse(gold, extraction_config=configs), answer)
        for gold in golds(case)
    )


def by_mathruler(case: Case, answer: str) -> bool:
    from mathruler.grader import grade_answer

    return any(bool(grade_answer(answer, gold)) for gold in golds(case))


def math_verify_alone(case: Case) -> bool:
    return by_math_verify(case, case.response)


def math_verify_comparing(case: Case) -> bool:
    answer = read(case)
    return answer is not None and by_math_verify(case, rf"\boxed{{{answer}}}")


def mathruler_alone(case: Case) -> bool:
    from mathruler.grader import extract_boxed_content

    return by_mathruler(case, extract_boxed_content(case.response))


def mathruler_comparing(case: Case) -> bool:
    answer = read(case)
    return answer is not None and by_mathruler(case, answer)


GRADERS: dict[str, Grader] = {
    "mmupt": mmupt_grader,
    "math-verify": math_verify_alone,
    "math-verify, mmupt reads": math_verify_comparing,
    "mathruler": mathruler_alone,
    "mathruler, mmupt reads": mathruler_comparing,
}


def measure(cases: list[Case], grader: Grader) -> dict[str, float]:
    """Errors of a grader count as wrong, and are counted; a library that is missing is no verdict on anything."""
    began = time.perf_counter()
    verdicts, errors = [], 0
    for one in cases:
        try:
            verdicts.append(grader(one))
        except ImportError:
            raise
        except Exception:  # peers raise what sympy raises
            verdicts.append(False)
            errors += 1
    seconds = time.perf_counter() - began
    return compared(cases, verdicts) | {"errors": errors, "seconds_per_1000": 1000 * seconds / len(cases)}


def compared(cases: list[Case], verdicts: list[bool]) -> dict[str, float]:
    pairs = list(zip(cases, verdicts, strict=True))
    return {
        "rows": len(cases),
        "agreement": sum(v == c.truth for c, v in pairs) / len(cases),
        "wrong_credit": sum(v and not c.truth for c, v in pairs),
        "missed_credit": sum(c.truth and not v for c, v in pairs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = os.environ.get("MMUPT_SHARED_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--responses", type=Path, default=Path(shared) / "responses")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    arguments = parser.parse_args()
    if not arguments.responses.is_dir():
        parser.error(f"{arguments.responses} is no folder; name the one with the response files: --responses FOLDER")
    results: dict[str, dict[str, dict[str, float]]] = {}
    for name, (file, build) in SETS.items():
        text = (arguments.responses / file).read_text(encoding="utf-8")
        cases = list(build([json.loads(line) for line in text.split("\n") if line]))
        results[name] = {grader: measure(cases, judge) for grader, judge in GRADERS.items()}
        if all(one.theirs is not None for one in cases):
            results[name]["the authors'"] = compared(cases, [bool(one.theirs) for one in cases])
    if arguments.json:
        print(json.dumps(results, indent=2))
        return
    for name, graders in results.items():
        table = Table(
            "grader",
            "agreement",
            "wrong credit",
            "missed credit",
            "errors",
            "s / 1000",
            title=name,
            title_justify="left",
        )
        for grader, r in graders.items():
            seconds = f"{r['seconds_per_1000']:.2f}" if "seconds_per_1000" in r else "recorded"
            table.add_row(
                grader,
                f"{100 * r['agreement']:.2f} %",
                f"{r['wrong_credit']:.0f}",
                f"{r['missed_credit']:.0f}",
                seconds,
            )
        Console(width=100).print(table, f"{graders['mmupt']['rows']:.0f} responses\n", sep="")


if __name__ == "__main__":
    main()

"""The rows that stages of a run have made for later ones, from `data/<stage>/report.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mmupt.report.reading import RunData, number
from mmupt.report.views import clean

_KINDS = {"synth": "questions that the model has written", "targets": "answers to imitate", "pairs": "preferences"}


def made_rows(data: RunData) -> list[dict[str, str]]:
    """One entry a stage that has finished, in the recipe's order: its name, what it makes, what came of it in one line,
    and the file (with a page to look at where there is one) below the run folder. A damaged report adds to
    `data.problems`."""
    found = []
    for stage in data.recipe.get("stages") or ():
        name, kind = str(stage.get("name", "")), stage.get("kind")
        if kind not in _KINDS:
            continue
        folder = data.layout.made(name)
        try:
            report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
            said = _in_words(report)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TypeError, AttributeError) as error:
            data.problems.append(f"data/{name}/report.json: damaged ({type(error).__name__})")
            continue
        files = [file for file in ("train.jsonl", "page.html") if (folder / file).exists()]
        found.append(
            {
                "name": clean(name),
                "kind": _KINDS[kind],
                "said": clean(said, 1000),
                "files": clean(", ".join(f"data/{name}/{file}" for file in files)),
            }
        )
    return found


def _in_words(report: Mapping[str, Any]) -> str:
    if "written" in report:
        made = (
            f"{_count(report, 'kept')} of {_count(report, 'written')} written questions kept, about "
            f"{_count(report, 'with_questions')} of {_count(report, 'subjects')} pictures"
        )
        lost = dict(report.get("dropped") or {})
    else:
        made = (
            f"{_count(report, 'rows')} rows from {_count(report, 'prompts_used')} of {_count(report, 'prompts')} "
            f"prompts, {_count(report, 'responses')} responses"
        )
        lost = {**(report.get("refused") or {}), **(report.get("left_out") or {})}
    counts = sorted(((str(why), number(count) or 0) for why, count in lost.items()), key=lambda item: -item[1])
    told = [f"{count:.0f} {why.replace('_', ' ')}" for why, count in counts if count]
    return made + (f"; left out: {', '.join(told)}" if told else "")


def _count(report: Mapping[str, Any], key: str) -> str:
    value = number(report.get(key))
    return "?" if value is None else f"{value:.0f}"

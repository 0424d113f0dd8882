"""A run as Markdown, for a model card: results with intervals, the guard in brief, settings, versions, cost.

Names and texts of a run are put in as text: what Markdown or HTML would take for markup is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmupt.report.advice import what_to_know
from mmupt.report.cost import costs, device_of, duration, wall_seconds
from mmupt.report.guard import Story, what_it_did, what_it_watched
from mmupt.report.reading import RunData, Stage, read_run
from mmupt.report.results import Figure, ResultTable, result_tables
from mmupt.report.views import clean

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~$&!^])")
_KINDS = {
    "sft": "supervised fine-tuning",
    "rl": "reinforcement learning with labels (GRPO)",
    "upt": "label-free post-training (GRPO on the model's own votes)",
    "dpo": "learning from preferences (DPO)",
}
_SETTINGS = {  # of a stage: what a reader of a model card asks for, by their keys in recipe.toml
    "steps": ("steps",), "epochs": ("epochs",), "prompts a step": ("prompts_per_step",), "batch size": ("batch_size",),
    "updates a step": ("updates_per_step",), "data": ("data", "path"), "group size": ("rollout", "group_size"),
    "temperature": ("rollout", "temperature"), "top-p": ("rollout", "top_p"),
    "new tokens at most": ("rollout", "max_new_tokens"), "reward": ("reward", "name"),
    "KL coefficient": ("algo", "kl_coef"), "learning rate": ("optimizer", "lr"), "schedule": ("optimizer", "schedule"),
}  # fmt: skip


def markdown_report(run: Path) -> str:
    """The run in the folder `run` as Markdown, which begins with a heading of the second level and ends with a newline.

    Reads the folder only, at any moment of a run; what is missing is said under "Not complete". Raises RunFolderError
    where there is no such folder.
    """
    data = read_run(Path(run))
    parts = [*_results(data), *_stages(data), *_guards(data), *_cost(data), *_versions(data), *_limits(data)]
    return "\n\n".join(parts) + "\n"


def _results(data: RunData) -> Iterator[str]:
    yield "## Results"
    tables = result_tables(data)
    if not tables:
        yield "Nothing has been measured."
        return
    yield "Per cent, with 95 % intervals in brackets; k samples a question."
    for table in tables:
        if table.title:
            yield f"### {_text(table.title)}"
        yield _result_table(table)


def _result_table(table: ResultTable) -> str:
    rows = [
        [row.name, *(_figure(figure) for figure in row.figures), row.unreadable or "–", row.questions]
        for row in table.rows
    ]
    return _table(["model", *table.columns, "unreadable", "questions"], rows)


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return "–"
    return figure.text if figure.low is None else f"{figure.text} ({figure.low:.1f}–{figure.high:.1f})"


def _stages(data: RunData) -> Iterator[str]:
    model = data.recipe.get("model")
    path = model.get("path") if isinstance(model, Mapping) else None
    yield "## Training"
    seed = data.about.get("seed")
    said = [f"From {_code(path)}" if path else "", f"seed {_text(seed)}" if seed is not None else ""]
    if any(said):
        yield ", ".join(filter(None, said)) + "."
    rows = [[stage.name, _KINDS.get(stage.kind, stage.kind), _settings(stage)] for stage in data.stages]
    if rows:
        yield _table(["stage", "kind", "settings"], rows)


def _settings(stage: Stage) -> str:
    found = []
    for name, keys in _SETTINGS.items():
        value: Any = stage.settings
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, str | int | float):
            found.append(f"{name} {value}")
    return ", ".join(found)


def _guards(data: RunData) -> Iterator[str]:
    stories = [story for stage in data.stages if (story := Story.of(stage)) is not None]
    if not stories:
        return
    yield "## Guard"
    yield "A guard watched each label-free stage, without labels."
    for story in stories:
        line = f"- **{_text(story.stage)}**: it {_text(what_it_did(story))}. {_text(what_it_watched(story))}"
        if story.decisive is not None:
            line += f" Last of weight: step {story.decisive.step}, {_text(story.decisive.text, 500)}."
        yield line


def _cost(data: RunData) -> Iterator[str]:
    yield "## Cost"
    wall, device = wall_seconds(data), device_of(data)
    said = [f"{duration(wall)} of wall time" if wall else "", f"on {_text(device)}" if device else ""]
    if any(said):
        yield " ".join(filter(None, said)) + "."
    rows = [[cost.stage, f"{cost.steps:,}", duration(cost.seconds) or "–", f"{cost.tokens:,}"] for cost in costs(data)]
    if rows:
        yield _table(["stage", "steps", "time in steps", "tokens"], rows)
    elif not any(said):
        yield "Unknown."


def _versions(data: RunData) -> Iterator[str]:
    versions = data.about.get("versions")
    if isinstance(versions, Mapping) and versions:
        yield "## Versions"
        yield ", ".join(f"{_text(name)} {_text(version)}" for name, version in versions.items() if version) + "."


def _limits(data: RunData) -> Iterator[str]:
    notes = [note for note in what_to_know(data) if note.level in ("bad", "watch")]
    lines = [f"- **{_text(note.title, 300)}**: {_text(note.text, 2000)}" for note in notes]
    lines += [f"- {_text(problem, 500)}" for problem in dict.fromkeys(data.problems)]
    if lines:
        yield "## To know"
        yield "\n".join(lines)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns of numbers stand to the right."""
    rules = [
        "---:" if rows and all(str(row[i])[:1] in "–0123456789" for row in rows) else "---" for i in range(len(head))
    ]
    lines = [head, rules, *([_text(cell, 500) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _text(value: object, limit: int = 1000) -> str:
    """Text on one line, without markup."""
    return _MARKUP.sub(r"\\\1", " ".join(clean(value, limit).split()))


def _code(value: object) -> str:
    return "`" + " ".join(clean(value, 200).replace("`", "'").split()) + "`"

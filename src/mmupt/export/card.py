"""The model card: what the model is, how it was made, what was measured. Everything in it comes from the run folder,
and is foreign text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmupt.evals.results import main_figures_of, other_graders
from mmupt.export.markdown import block, code, prose, table
from mmupt.export.source import ModelBehind
from mmupt.report.comparison import interval
from mmupt.report.guard import Story, what_it_did, what_it_watched
from mmupt.report.reading import RunData, number, read_run

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_TRAINING = ("sft", "rl", "upt", "dpo")
_READS = {
    "sft": "questions with worked answers",
    "rl": "questions with answers",
    "upt": "questions without answers",
    "dpo": "pairs of responses",
    "synth": "pictures",
    "targets": "questions",
    "pairs": "questions",
}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What the run folder does not say. `pictures`: whether the model reads any."""

    name: str
    behind: ModelBehind
    pictures: bool
    dtype: str
    versions: Mapping[str, str]
    command: str


def model_card(facts: CardFacts) -> str:
    """README.md of the exported folder, YAML front matter included."""
    run = read_run(facts.behind.run) if facts.behind.run is not None else None
    kinds = [str(stage.get("kind")) for stage in _stages(run, facts.behind)] if run is not None else []
    parts = [_front_matter(facts, run, kinds), f"# {prose(facts.name, 120)}", _introduction(facts, run), _usage(facts)]
    if run is not None:
        parts += [_how_made(run, facts), _results(run, facts), _guard(run, facts), _recipe(run)]
    parts.append(_provenance(facts, run))
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(facts: CardFacts, run: RunData | None, kinds: Sequence[str]) -> str:
    """Strings as JSON writes them, which YAML reads as the same."""
    base = _base_model(run)
    lines = [f"base_model: {json.dumps(base)}"] if base is not None else []
    lines += ["library_name: transformers", "tags:", "- mmupt"]
    lines += [f"- {json.dumps(kind)}" for kind in dict.fromkeys(kinds) if kind in _READS]
    lines += ["- label-free"] if "upt" in kinds else []
    lines.append(f"pipeline_tag: {'image-text-to-text' if facts.pictures else 'text-generation'}")
    return "\n".join(["---", *lines, "---"])


def _base_model(run: RunData | None) -> str | None:
    """The hub id that the recipe began with; None for a folder of this machine and for the offline world's models,
    which mean nothing to anybody else."""
    path = str(_table(run.recipe.get("model")).get("path", "")) if run is not None else ""
    return path if _HUB_ID.fullmatch(path) and not Path(path).exists() else None


def _introduction(facts: CardFacts, run: RunData | None) -> str:
    behind = facts.behind
    if run is None:
        return f"A checkpoint that mmupt wrote behind step {behind.step}, weights in {code(facts.dtype)}."
    name = code(run.recipe.get("name", run.layout.root.name))
    at = "as it was at its end" if behind.finished else "in the middle of it"
    merged = " Its low-rank adapter was added to the weights of its base." if behind.base is not None else ""
    description = prose(run.recipe.get("description") or "")
    text = (
        f"The model of stage {code(behind.stage)} of the mmupt run {name}, {at} (step {behind.step}), weights in "
        f"{code(facts.dtype)}.{merged} It began as {code(_table(run.recipe.get('model')).get('path', '?'))}."
    )
    return f"{text}\n\n{description}" if description else text


def _usage(facts: CardFacts) -> str:
    kind = "AutoModelForImageTextToText" if facts.pictures else "AutoModelForCausalLM"
    lines = [
        f"from transformers import AutoTokenizer, {kind}",
        "",
        f'model = {kind}.from_pretrained("THIS_FOLDER", dtype="auto")',
        'tokenizer = AutoTokenizer.from_pretrained("THIS_FOLDER")',
    ]
    return f"{block(chr(10).join(lines), 'python')}\n\n{block('vllm serve THIS_FOLDER', 'console')}"


def _stages(run: RunData, behind: ModelBehind) -> list[dict[str, Any]]:
    """Those of the recipe up to the exported one; measurements and made rows behind it that no training separates from
    it are about the same model, and belong to it."""
    planned = run.recipe.get("stages", [])
    found: list[dict[str, Any]] = []
    reached = False
    for stage in planned if isinstance(planned, list) else []:
        if not isinstance(stage, dict) or (reached and stage.get("kind") != "eval"):
            break
        if reached and not behind.finished:
            break
        found.append(stage)
        reached = reached or stage.get("name") == behind.stage
    return found


def _how_made(run: RunData, facts: CardFacts) -> str:
    done = {stage.name: stage for stage in run.stages}
    rows = []
    for stage in _stages(run, facts.behind):
        kind, name = str(stage.get("kind")), str(stage.get("name"))
        if kind not in _READS:
            continue
        is_last = name == facts.behind.stage
        steps = facts.behind.step if is_last else len(done[name].records) if name in done else 0
        reward = _table(stage.get("reward")).get("name", "") if kind in ("rl", "upt") else ""
        source = _table(stage.get("data")).get("path", "?")
        trained = str(steps) if kind in _TRAINING else ""
        rows.append([code(name), prose(kind), trained, f"{_READS[kind]} from {code(source)}", code(reward)])
    return "## How it was made\n\n" + table(["stage", "kind", "steps", "data", "reward"], rows) if rows else ""


def _results(run: RunData, facts: CardFacts) -> str:
    """Measurements of this model and of those before it; none of later stages."""
    known = {str(stage.get("name")) for stage in _stages(run, facts.behind)} | {"base"}
    if not facts.behind.finished:
        known.discard(str(facts.behind.stage))
    parts = []
    for name, results in run.results_by_set().items():
        rows = [row for row in results if str(row.get("stage")) in known]
        if rows:
            parts.append(_result_table(name, rows))
    if not parts:
        return ""
    note = (
        "Per cent right; in brackets 95 % intervals over the questions. mean@k is one sampled answer, maj@k a vote "
        "of k, pass@k the share of questions that at least one of k gets right. Measured by mmupt during the run"
        + ("." if facts.dtype == "float32" else ", before the weights were written in their present precision.")
    )
    return "\n\n".join(["## Results", *parts, note])


def _result_table(name: str, results: Sequence[dict[str, Any]]) -> str:
    k = results[0].get("k")
    graders = dict.fromkeys(grader for row in results for grader in other_graders(row))
    rows = []
    for row in results:
        others = other_graders(row)
        cells = [_figure(row, figure) for figure in main_figures_of(row.get("k"))]
        cells += [_figure(others.get(grader, {}), f"mean@{row.get('k')}") for grader in graders]
        rows.append([code(row.get("stage", "?")), prose(row.get("n", "")), *cells])
    columns = ["model", "questions", *map(prose, main_figures_of(k)), *(prose(f"{g}: mean@{k}") for g in graders)]
    return f"{code(name)}\n\n{table(columns, rows)}"


def _figure(row: dict[str, Any], key: str) -> str:
    value = number(row.get(key))
    if value is None:
        return ""
    bounds = interval(row, key)
    return f"{100 * value:.1f}" + (f" ({100 * bounds[0]:.1f} to {100 * bounds[1]:.1f})" if bounds is not None else "")


def _guard(run: RunData, facts: CardFacts) -> str:
    names = {str(stage.get("name")) for stage in _stages(run, facts.behind)}
    stories = [Story.of(stage) for stage in run.stages if stage.name in names]
    lines = [
        f"- {code(story.stage)}: it {prose(what_it_did(story))}. {prose(what_it_watched(story))}"
        for story in stories
        if story is not None
    ]
    return "\n".join(["## The guard", "", "What watched the training without labels:", "", *lines]) if lines else ""


def _recipe(run: RunData) -> str:
    if not run.recipe_text:
        return ""
    body = block(run.recipe_text, "toml")
    return f"## Recipe\n\n<details>\n<summary>The recipe as it was resolved</summary>\n\n{body}\n\n</details>"


def _provenance(facts: CardFacts, run: RunData | None) -> str:
    trained = _table(run.about.get("versions")) if run is not None else {}
    lines = [f"- exported with {_versions(facts.versions)}"]
    lines += [f"- trained with {_versions(trained)}"] if trained else []
    if run is not None and (seed := run.about.get("seed")) is not None:
        lines.append(f"- seed {prose(seed)}; trained with {code('mmupt run RECIPE.toml')} on the recipe above")
    lines.append("- SHA-256 of every file: `SHA256SUMS`")
    command = f"{block(facts.command, 'console')}"
    return "\n".join(["## Where it comes from", "", *lines, "", command])


def _versions(versions: Mapping[str, Any]) -> str:
    return ", ".join(f"{prose(name)} {prose(version)}" for name, version in versions.items() if version)


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}

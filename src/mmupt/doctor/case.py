"""What is examined: a recipe, and the rows of every source that it reads from outside.

A label-free stage's rows are read without their labels here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmupt.answers.settings import AnswerSettings
from mmupt.data.problems import SkippedRow
from mmupt.data.settings import DataSettings, PromptSettings, ReadingStage
from mmupt.errors import MmuptError
from mmupt.recipe import Recipe
from mmupt.sources import WORLD, blind_prompts, evaluation_sets, labeled_rows, pictures, preference_pairs
from mmupt.types import LabeledPrompt, PreferencePair, Prompt


@dataclass(frozen=True, slots=True)
class Source:
    """The rows that one reader of the recipe gets; `bad` are those that cannot be used, `problem` why there are none at
    all. `stops` says whether one bad row stops the run."""

    place: str
    name: str
    prompt: PromptSettings
    stops: bool
    rows: tuple[Prompt | LabeledPrompt | PreferencePair, ...] = ()
    bad: tuple[SkippedRow, ...] = ()
    problem: str | None = None
    fewest: tuple[int, str] = (1, "data")
    answers: AnswerSettings | None = None
    """How gold answers are graded against, None where there are none."""
    evaluates: bool = False
    batch: int | None = field(default=None)

    @property
    def drawn(self) -> bool:
        """Whether the offline world draws the rows: then there is nothing to doubt about them."""
        return self.name.startswith(WORLD)

    @property
    def prompts(self) -> list[Prompt]:
        return [row if isinstance(row, Prompt) else row.prompt for row in self.rows]


@dataclass(frozen=True, slots=True)
class Case:
    """`recipe` and `sources` are None and empty where the machine alone is examined."""

    recipe: Recipe | None = None
    sources: tuple[Source, ...] = ()

    @property
    def folder(self) -> Path:
        """Where the run would write: the nearest folder there that exists."""
        wanted = Path("runs") if self.recipe is None else Path(self.recipe.run_dir or f"runs/{self.recipe.name}")
        wanted = wanted.absolute()
        return next(folder for folder in (wanted, *wanted.parents) if folder.exists())


def open_case(recipe: Recipe | None) -> Case:
    """Reads all rows, none of which need be right. Rows that an earlier stage will make are left out."""
    if recipe is None:
        return Case()
    sources = [_stage_source(stage, recipe) for stage in recipe.stages if isinstance(stage, ReadingStage)]
    return Case(recipe, (*(source for source in sources if source is not None), *_evaluation_sources(recipe)))


def _stage_source(stage: ReadingStage, recipe: Recipe) -> Source | None:
    data = stage.data
    if data.maker is not None:
        return None
    labeled = stage.reads == "labels"
    answers = getattr(stage, "answers", AnswerSettings()) if labeled else None
    known: dict[str, Any] = {
        "place": f"stages.{stage.name}",
        "name": data.path,
        "prompt": stage.prompt,
        "stops": data.bad_rows == "stop",
        "fewest": stage.fewest,
        "answers": answers,
    }
    lenient = data.model_copy(update={"bad_rows": "skip"})
    try:
        found = _read(stage, lenient, recipe)
    except MmuptError as error:
        return Source(**known, problem=str(error))
    return Source(**known, rows=tuple(found.rows), bad=found.skipped)


def _read(stage: ReadingStage, data: DataSettings, recipe: Recipe) -> Any:
    if stage.reads == "pairs":
        return preference_pairs(data)
    if stage.reads == "labels":
        return labeled_rows(data, recipe.world)
    return pictures(data, recipe.world) if stage.reads == "pictures" else blind_prompts(data, recipe.world)


def _evaluation_sources(recipe: Recipe) -> Sequence[Source]:
    evaluation = recipe.evaluation
    if evaluation is None:
        return ()
    data = evaluation.data.model_copy(update={"bad_rows": "skip"}) if evaluation.data is not None else None
    sources = []
    parts = [("evaluation.data", evaluation.model_copy(update={"data": data, "benchmarks": ()}))] if data else []
    parts += [
        (f"evaluation.benchmarks {name}", evaluation.model_copy(update={"data": None, "benchmarks": (name,)}))
        for name in evaluation.benchmarks
    ]
    for place, part in parts:
        stops = evaluation.data is not None and evaluation.data.bad_rows == "stop" and part.data is not None
        name = part.data.path if part.data is not None else part.benchmarks[0]
        common: dict[str, Any] = {
            "place": place, "name": name, "prompt": evaluation.prompt, "stops": stops, "answers": evaluation.answers,
            "evaluates": True,
        }  # fmt: skip
        try:
            sources += [
                Source(**common, rows=tuple(found.rows.rows), bad=found.rows.skipped)
                for found in evaluation_sets(part, recipe.world)
            ]
        except MmuptError as error:
            sources.append(Source(**common, problem=str(error)))
    return sources

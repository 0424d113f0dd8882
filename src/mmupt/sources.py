"""Where rows come from: the offline world, a file, or the hub, behind five functions.

`labeled_rows` is for stages that may see answers, `blind_prompts` for those that may not: what it returns has no field
for one. `pictures` is for one that writes the questions itself, `preference_pairs` have two responses instead of an
answer. `evaluation_sets` is for measuring.
"""

from __future__ import annotations

from typing import TypeVar, get_args

from mmupt.data.dataset import DataSet, load_labeled, load_pairs, load_prompts
from mmupt.data.pictures import load_pictures
from mmupt.data.settings import DataSettings
from mmupt.errors import DataError
from mmupt.evals.benchmarks.loading import load_benchmark, parse_selection
from mmupt.evals.sets import EvaluationSet
from mmupt.evals.settings import EvaluationSettings
from mmupt.types import LabeledPrompt, PreferencePair, Prompt
from mmupt.world.settings import MixName, Split, WorldSettings
from mmupt.world.splits import world_prompts, world_split

WORLD = "world:"
"""How the names of the offline world's models and rows begin."""
_Name = TypeVar("_Name", bound=str)


def labeled_rows(data: DataSettings, world: WorldSettings) -> DataSet[LabeledPrompt]:
    """DataError where the source is missing, empty, or holds rows that `bad_rows` does not let pass."""
    if data.path.startswith(WORLD):
        return DataSet(tuple(world_split(world, *_split(data.path))[: data.limit]), (), data.path)
    return load_labeled(data)


def blind_prompts(data: DataSettings, world: WorldSettings) -> DataSet[Prompt]:
    """The same without ever reading an answer."""
    if data.path.startswith(WORLD):
        return DataSet(tuple(world_prompts(world, *_split(data.path))[: data.limit]), (), data.path)
    return load_prompts(data)


def preference_pairs(data: DataSettings) -> DataSet[PreferencePair]:
    """Rows with two responses each, from a file or the hub: the offline world has none. Raises DataError like the
    others."""
    return load_pairs(data)


def pictures(data: DataSettings, world: WorldSettings) -> DataSet[Prompt]:
    """Pictures to write questions about, with the questions that they have, if any; no answer is read."""
    return blind_prompts(data, world) if data.path.startswith(WORLD) else load_pictures(data)


def evaluation_sets(evaluation: EvaluationSettings, world: WorldSettings) -> list[EvaluationSet]:
    """The user's own data set first, then the benchmarks in their order. Raises DataError like the others."""
    sets = []
    if evaluation.data is not None:
        sets.append(EvaluationSet(evaluation.data.path, labeled_rows(evaluation.data, world), evaluation.data.bad_rows))
    for selection in parse_selection(",".join(evaluation.benchmarks)):
        rows = load_benchmark(selection, limit=evaluation.limit)
        benchmark = selection.benchmark
        sets.append(EvaluationSet(benchmark.name, rows, benchmark.data.bad_rows, benchmark))
    return sets


def _split(path: str) -> tuple[Split, MixName | None]:
    """`world:test` follows `world.mix`, `world:test@charts` another mix."""
    name, at, mix_name = path.removeprefix(WORLD).partition("@")
    split = _named(path, "split", name, get_args(Split))
    return split, _named(path, "mix", mix_name, get_args(MixName)) if at else None


def _named(path: str, what: str, name: str, choices: tuple[_Name, ...]) -> _Name:
    for choice in choices:
        if name == choice:
            return choice
    raise DataError(f"data.path {path!r}: the world has no {what} {name!r}; choose one of {', '.join(choices)}")

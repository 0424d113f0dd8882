"""Recipes from Python: run one or a stage of it, ask the probe, measure a model."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from mmupt.errors import ConfigError, RunFolderError
from mmupt.recipe import Recipe, load_recipe
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics

if TYPE_CHECKING:
    from mmupt.probing import StageProbe

Values = Mapping[str, Any]
"""What a recipe's values are changed to: dotted keys as in `--set` ("stages.upt.steps": 20), or tables in tables."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder, read when asked. Everything else that lies in it is under `folder` (docs/architecture.md)."""

    folder: Path

    @property
    def metrics(self) -> list[dict[str, object]]:
        """One record a step, in order."""
        return read_metrics(RunLayout(self.folder).metrics)

    @property
    def results(self) -> list[dict[str, Any]]:
        """One record for each measured model and set, as in summary.json: `stage`, `set`, `greedy`, `mean@8`, ..."""
        summary = RunLayout(self.folder).summary
        return list(json.loads(summary.read_text(encoding="utf-8"))["stages"]) if summary.exists() else []

    @property
    def model(self) -> Path | None:
        """The Hugging Face folder of the newest model that a stage has handed on, None where none has trained."""
        from mmupt.export.source import trained_model

        return trained_model(self.folder)

    def groups(self, stage: str, step: int) -> list[dict[str, object]]:
        """What was sampled, voted and rewarded in a step, counted from 1: one record a group, as `mmupt watch` shows it
        (`question`, `responses`, `answers`, `majority`, `share`, `rewards`, ...). Raises RunFolderError where the run
        has no such step."""
        from mmupt.runtime.groups import read_groups

        return read_groups(RunLayout(self.folder).groups(stage, step))

    @property
    def report(self) -> Path:
        """The page report.html."""
        return RunLayout(self.folder).report


def run(
    recipe: str | Path | Recipe,
    *,
    set: Values | None = None,
    stage: str | None = None,
    model: str | Path | None = None,
    run_dir: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Run:
    """Run a recipe: a shipped one by name, a .toml file, or one that was loaded. What `mmupt run` does.

    `set` changes values, `stage` runs that stage alone (with the recipe's measurements of it), from `model` or the
    recipe's own. The run folder is `run_dir`, or the recipe's, or runs/NAME (runs/NAME-STAGE for one stage). `quiet`
    shows nothing on the way. Raises MmuptError, in one message, for whatever a user can put right.

        run("demo", set={"seed": 3, "stages.upt.steps": 10})
        run("demo", stage="upt", model="runs/demo/checkpoints/sft/step-000300", run_dir="runs/upt-only")
    """
    loaded = _load(recipe, {**(set or {}), **({"model.path": str(model)} if model is not None else {})})
    name = loaded.name
    if stage is not None:
        loaded, name = _alone(loaded, stage), f"{loaded.name}-{stage}"
    shared = loaded.run_dir if stage is None or "run_dir" in (set or {}) else None  # else two runs would share it
    folder = Path(run_dir) if run_dir is not None else Path(shared or f"runs/{name}")
    return _launch(loaded.model_copy(update={"run_dir": str(folder)}), resume, overwrite, quiet)


def evaluate(
    model: str | Path,
    data: str | Path | None = None,
    *,
    benchmarks: Sequence[str] = (),
    samples: int | None = None,
    limit: int | None = None,
    out: str | Path | None = None,
    set: Values | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Run:
    """Measure a model on labelled `data` or on `benchmarks`; figures stand in `.results`. What `mmupt eval` does.

    `samples` is k of mean@k (8); `limit` takes the first questions of every benchmark; `out` is the run folder instead
    of runs/eval or runs/benchmarks. Raises MmuptError like `run`.
    """
    if (data is None) == (not benchmarks):
        raise ConfigError("evaluate: give either data or benchmarks")
    given = {
        "model.path": str(model),
        "data.path": str(data) if data is not None else None,
        "evaluation.benchmarks": list(benchmarks) or None,
        "evaluation.limit": limit,
        "evaluation.samples": samples,
    }
    values = {key: value for key, value in given.items() if value is not None}
    loaded = _load("benchmarks" if benchmarks else "eval", {**values, **(set or {})})
    folder = Path(out) if out is not None else Path(loaded.run_dir or f"runs/{loaded.name}")
    return _launch(loaded.model_copy(update={"run_dir": str(folder)}), resume, overwrite, quiet)


def probe(
    recipe: str | Path | Recipe,
    *,
    stage: str | None = None,
    prompts: int = 200,
    samples: int | None = None,
    set: Values | None = None,
) -> StageProbe:
    """Ask the start model of a label-free stage whether a run would help, without labels. What `mmupt probe` does.

    `.report.advice.verdict` is the recommendation, `.as_json()` all figures. Raises MmuptError like `run`.
    """
    from mmupt.probing import choose_upt_stage, probe_stage

    loaded = _load(recipe, set or {})
    return probe_stage(loaded, choose_upt_stage(loaded, stage), prompts=prompts, samples=samples)


def _load(recipe: str | Path | Recipe, values: Values) -> Recipe:
    if isinstance(recipe, Recipe):
        if values:
            raise ConfigError(
                "set and model change a recipe while it is loaded; give its name, or load_recipe(...) it so"
            )
        return recipe
    return load_recipe(str(recipe), [f"{key}={_toml(value)}" for key, value in _leaves(values)])


def _leaves(values: Values, above: str = "") -> Iterator[tuple[str, Any]]:
    """Tables in tables as dotted keys, so that what they do not name stays as it is."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _toml(value: Any) -> str:
    """A value as TOML writes it on one line; None is the word "none" of recipes."""
    if value is None:
        return '"none"'
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    try:
        return tomli_w.dumps({"value": value}).removeprefix("value = ").rstrip("\n")
    except TypeError:
        raise ConfigError(f"set: {value!r} is a {type(value).__name__}, which no recipe can hold") from None


def _alone(recipe: Recipe, name: str) -> Recipe:
    """The recipe with one of its stages. Raises ConfigError where that stage needs others."""
    stage = next((s for s in recipe.stages if s.name == name), None)
    if stage is None:
        names = ", ".join(s.name for s in recipe.stages)
        raise ConfigError(f'{recipe.name} has no stage "{name}"; choose one of {names}')
    maker = getattr(getattr(stage, "data", None), "maker", None)
    follows = getattr(getattr(stage, "guard", None), "follows", None)
    if maker is not None or follows is not None:
        what = f'reads the rows that "{maker}" makes' if maker is not None else f'carries on the guard of "{follows}"'
        raise ConfigError(f'stage "{name}" {what}, so it cannot run alone; run the whole recipe')
    return recipe.model_copy(update={"stages": (stage,)})


def _launch(recipe: Recipe, resume: bool, overwrite: bool, quiet: bool) -> Run:
    if resume and overwrite:
        raise ConfigError("resume continues a run and overwrite deletes it; give one of them")
    assert recipe.run_dir is not None
    if RunLayout(Path(recipe.run_dir)).run.exists() and not (resume or overwrite):
        raise RunFolderError(
            f"{recipe.run_dir}: already holds a run. Continue it with resume=True, replace it with overwrite=True, or "
            "choose another folder"
        )
    from mmupt.pipeline import run_recipe

    with _shown(quiet):
        return Run(run_recipe(recipe, resume=resume, overwrite=overwrite))


@contextmanager
def _shown(quiet: bool) -> Iterator[None]:
    if not quiet:
        yield
        return
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        yield
    sys.stdout.flush()

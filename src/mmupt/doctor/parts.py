"""What the recipe names besides data: its model, engine, sinks, rewards of one's own. None of them is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmupt.doctor.case import Case
from mmupt.doctor.finding import Finding
from mmupt.engines.choice import check_engine
from mmupt.engines.settings import RolloutSettings
from mmupt.errors import MmuptError
from mmupt.models.loading import load_family
from mmupt.rewards.own.recorded import check_own
from mmupt.runtime.sinks.log import check_sinks
from mmupt.sources import WORLD


def parts(case: Case) -> Iterator[Finding]:
    """Every part that is missing or cannot be loaded."""
    recipe = case.recipe
    if recipe is None:
        return
    family: Any = None
    if not recipe.model.path.startswith(WORLD):
        try:
            family = load_family(recipe.model.path, recipe.model)
        except MmuptError as error:
            yield _wrong(error)
    rollouts = {
        rollout for stage in recipe.stages if isinstance(rollout := getattr(stage, "rollout", None), RolloutSettings)
    }
    if family is not None:
        yield Finding("parts", "ok", f"model {recipe.model.path}: {type(family).__name__}, with its tokenizer")
        for rollout in rollouts:
            try:
                check_engine(rollout, family)
            except MmuptError as error:
                yield _wrong(error)
    for check in (lambda: check_sinks(recipe.sinks), lambda: check_own(recipe)):
        try:
            check()
        except MmuptError as error:
            yield _wrong(error)


def _wrong(error: MmuptError) -> Finding:
    return Finding("parts", "error", str(error))  # which says what to do

"""Which of a recipe's stages a command is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from mmupt.errors import ConfigError
from mmupt.recipe.loading import Recipe


class _Named(Protocol):
    @property
    def name(self) -> str: ...


S = TypeVar("S", bound=_Named)


def choose_stage(recipe: Recipe, stages: Sequence[S], name: str | None, *, which: str, otherwise: str) -> S:
    """Of the `stages` of `recipe` that come into question the one called `name`, the last one without a name.

    Raises ConfigError, with the choices, where none is called so, and with `otherwise` where there are no stages at
    all; `which` says what they are, as in 'no stage "x" of kind "upt"'.
    """
    if not stages:
        raise ConfigError(f"{recipe.name} has no stage {which}; {otherwise}")
    if name is None:
        return stages[-1]
    for stage in stages:
        if stage.name == name:
            return stage
    known = ", ".join(stage.name for stage in stages)
    raise ConfigError(f'{recipe.name} has no stage "{name}" {which}; choose one of {known}')

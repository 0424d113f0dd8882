"""Weights & Biases."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, ClassVar

from mmupt.runtime.sinks.base import About, Sink
from mmupt.runtime.sinks.settings import WandbSettings


class Wandb(Sink):
    """Each series has a step of its own (`upt/step`), as stages count theirs from 1 again. A resumed run is the same
    run by its id."""

    package: ClassVar[str] = "wandb"

    def __init__(self, settings: WandbSettings) -> None:
        self._settings = settings
        self._run: Any = None
        self._series: set[str] = set()

    def begin(self, about: About, run_id: str | None) -> str | None:
        import wandb

        settings = self._settings
        run_id = run_id or secrets.token_hex(4)
        self._run = wandb.init(
            project=settings.project,
            entity=settings.entity,
            name=settings.name or about.name,
            group=settings.group,
            tags=list(settings.tags) or None,
            mode=settings.mode,
            id=run_id,
            resume="allow",
            dir=str(about.root),
            config=dict(about.recipe),
        )
        return run_id

    def figures(self, series: str, step: int, values: Mapping[str, float]) -> None:
        if series not in self._series:
            self._series.add(series)
            self._run.define_metric(f"{series}/step", hidden=True)
            self._run.define_metric(f"{series}/*", step_metric=f"{series}/step")
        self._run.log({**{f"{series}/{name}": value for name, value in values.items()}, f"{series}/step": step})

    def event(self, series: str, step: int, text: str) -> None:
        self._run.summary[f"{series}/event at step {step}"] = text

    def end(self, *, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)

"""MLflow, through its client: nothing global is set, so a caller's own MLflow run is left alone."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from mmupt.runtime.sinks.base import About, Sink
from mmupt.runtime.sinks.settings import MlflowSettings

_UNNAMABLE = re.compile(r"[^\w.\- /]")
_AT_ONCE = 1000  # metrics in one request
_LONGEST_TAG = 5000


class Mlflow(Sink):
    """One metric a figure, `upt/reward`; what MLflow allows in no name becomes words or `_`
    (`eval/world_test/mean_at_8`). A resumed run is the same run by its id. Events are tags."""

    package: ClassVar[str] = "mlflow"

    def __init__(self, settings: MlflowSettings) -> None:
        self._settings = settings
        self._client: Any = None
        self._id = ""

    def begin(self, about: About, run_id: str | None) -> str | None:
        from mlflow import MlflowClient

        settings = self._settings
        self._client = MlflowClient(tracking_uri=settings.tracking_uri)
        if run_id is not None:
            self._id = run_id
            self._client.update_run(run_id, status="RUNNING")
            return run_id
        experiment = self._client.get_experiment_by_name(settings.experiment)
        number = experiment.experiment_id if experiment else self._client.create_experiment(settings.experiment)
        self._id = str(self._client.create_run(number, run_name=settings.name or about.name).info.run_id)
        for key in ("name", "seed", "model"):
            self._client.log_param(self._id, key, str(about.recipe.get(key))[:_LONGEST_TAG])
        return self._id

    def figures(self, series: str, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(_name(f"{series}/{name}"), value, now, step) for name, value in values.items()]
        for start in range(0, len(metrics), _AT_ONCE):
            self._client.log_batch(self._id, metrics=metrics[start : start + _AT_ONCE])

    def event(self, series: str, step: int, text: str) -> None:
        self._client.set_tag(self._id, _name(f"{series}/event at step {step}"), text[:_LONGEST_TAG])

    def end(self, *, finished: bool) -> None:
        self._client.set_terminated(self._id, "FINISHED" if finished else "FAILED")


def _name(text: str) -> str:
    """A name that MLflow takes.

    >>> _name("eval/world:test/mean@8")
    'eval/world_test/mean_at_8'
    """
    return _UNNAMABLE.sub("_", text.replace("@", "_at_"))

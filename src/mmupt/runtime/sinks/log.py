"""The metrics log that tells sinks too: steps as they are logged, the guard's events, measurements.

`sinks.json` of the run folder remembers what each sink has been told and how its run is called there. It is written
before a sink is told, so that nothing is ever told twice: a kill at that very moment leaves a gap of one step in the
sink, never in `metrics.jsonl`. Steps that a resumed run does again, from its last checkpoint, are not told again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from types import TracebackType
from typing import Any

from mmupt.errors import ConfigError
from mmupt.runtime.files import write_json
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import MetricsLog
from mmupt.runtime.sinks.base import About, Sink
from mmupt.runtime.sinks.mlflow import Mlflow
from mmupt.runtime.sinks.settings import SinkSettings
from mmupt.runtime.sinks.tensorboard import TensorBoard
from mmupt.runtime.sinks.wandb import Wandb

Tell = Callable[[str], None]


def make_sinks(settings: SinkSettings | None) -> dict[str, Sink]:
    """The sinks that `[sinks]` names, by its keys. A new one is one new file and one line here."""
    sinks: dict[str, Sink] = {}
    if settings is not None and settings.tensorboard:
        sinks["tensorboard"] = TensorBoard()
    if settings is not None and settings.wandb is not None:
        sinks["wandb"] = Wandb(settings.wandb)
    if settings is not None and settings.mlflow is not None:
        sinks["mlflow"] = Mlflow(settings.mlflow)
    return sinks


def check_sinks(settings: SinkSettings | None) -> None:
    """Raises ConfigError where the package of a sink is not installed. Nothing is imported to find out."""
    missing = [name for name, sink in make_sinks(settings).items() if find_spec(sink.package) is None]
    if missing:
        raise ConfigError(
            [f'sinks.{name}: not installed; pip install "mmupt[{name}]", or leave it out' for name in missing]
        )


def open_log(
    settings: SinkSettings | None, run: RunLayout, name: str, recipe: Mapping[str, Any], tell: Tell
) -> MetricsLog:
    """The metrics log of a run, with its sinks begun, or begun again. What a sink raises is told, never passed on."""
    sinks = make_sinks(settings)
    return SinkLog(run, sinks, About(run.root, name, recipe), tell) if sinks else MetricsLog(run.metrics)


class SinkLog(MetricsLog):
    """See the head of this file."""

    def __init__(self, run: RunLayout, sinks: Mapping[str, Sink], about: About, tell: Tell) -> None:
        super().__init__(run.metrics)
        self._run, self._tell = run, tell
        self._file_of_memory = run.root / "sinks.json"
        self._memory: dict[str, dict[str, Any]] = {}
        if self._file_of_memory.exists():
            self._memory = json.loads(self._file_of_memory.read_text(encoding="utf-8"))
        self._sinks: dict[str, Sink] = {}
        self._measured: Counter[str] = Counter()
        self._guards_seen: dict[str, int] = {}
        for name, sink in sinks.items():
            memory = self._memory.setdefault(name, {"id": None, "steps": {}, "events": {}})
            with _Watched(self, name):
                memory["id"] = sink.begin(about, memory["id"])
                self._sinks[name] = sink
        self._remember()

    def append(self, record: Mapping[str, object]) -> None:
        super().append(record)
        stage, step = str(record.get("stage")), record.get("step")
        if isinstance(step, int):
            self._figures(stage, step, record)
            self._events(stage)

    def measured(self, result: Mapping[str, Any]) -> None:
        """Measurements are numbered in their order from 0, each set by itself, as each model is measured once."""
        series = f"eval/{result['set']}"
        number = self._measured[series]
        self._measured[series] += 1
        told = self._figures(series, number, {k: v for k, v in result.items() if k not in ("n", "k")})
        if told:
            self._each(
                lambda sink: sink.event(series, number, f"{series} {number} is the model {result['stage']}"), told
            )
        self._events(str(result["stage"]))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stage in list(self._guards_seen):
            self._events(stage)  # what was decided behind the last step
        self._each(lambda sink: sink.end(finished=kind is None), list(self._sinks))
        super().__exit__(kind, error, trace)

    def drop(self, name: str, error: Exception) -> None:
        """A sink that has failed is told of no more."""
        self._sinks.pop(name, None)
        reason = " ".join(str(error).split()) or type(error).__name__
        self._tell(
            f"sinks.{name} failed and is told nothing more in this run ({type(error).__name__}: {reason}); the run "
            "goes on, and metrics.jsonl has everything"
        )

    def _figures(self, series: str, step: int, record: Mapping[str, object]) -> list[str]:
        """Tells those sinks that do not know of this step yet; returns their names."""
        values = {
            name: float(value)
            for name, value in record.items()
            if name != "step" and isinstance(value, int | float) and not isinstance(value, bool)
        }
        new = [name for name in self._sinks if step > self._memory[name]["steps"].get(series, -1)]
        for name in new:
            self._memory[name]["steps"][series] = step
        if new:
            self._remember()
            self._each(lambda sink: sink.figures(series, step, values), new)
        return new

    def _events(self, stage: str) -> None:
        """What the guard of a stage has said since it was last looked at, from its file."""
        if "/" in stage:
            return
        file = self._run.guard(stage)
        if not file.exists() or self._guards_seen.get(stage) == (changed := file.stat().st_mtime_ns):
            self._guards_seen.setdefault(stage, 0)
            return
        self._guards_seen[stage] = changed
        events = json.loads(file.read_text(encoding="utf-8"))["events"]
        for name in list(self._sinks):
            known = self._memory[name]["events"].get(stage, 0)
            if known >= len(events):
                continue  # after a resume it may know more than there is again
            self._memory[name]["events"][stage] = len(events)
            self._remember()
            for event in events[known:]:
                text = f"guard: {event['text']}"
                self._each(lambda sink, e=event, t=text: sink.event(stage, int(e["step"]), t), [name])  # type: ignore[misc]

    def _each(self, act: Callable[[Sink], None], names: list[str]) -> None:
        for name in names:
            if (sink := self._sinks.get(name)) is not None:
                with _Watched(self, name):
                    act(sink)

    def _remember(self) -> None:
        write_json(self._file_of_memory, self._memory)


class _Watched:
    """Whatever a sink raises ends that sink and nothing else; an interruption is nobody's fault and passes."""

    def __init__(self, log: SinkLog, name: str) -> None:
        self._log, self._name = log, name

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self._log.drop(self._name, error)
        return True

"""What the page says of a run besides curves and groups: what it is, how far it is, its guard, its results."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmupt.report.guard import Story, event_rows, is_grave, what_it_did, what_it_watched
from mmupt.report.names import CHARTS, MEASURED, MEASURED_SHARES, ONLY_IF_IT_MOVES, SHARES
from mmupt.report.reading import RunData, Stage, number
from mmupt.report.views import clean
from mmupt.runtime.layout import RunLayout

TRAINING = {"sft": "with worked answers", "rl": "with labels", "upt": "without labels", "dpo": "from preferences"}


class RunState:
    """The run in `layout`, as it is whenever one asks. Files are read when they have changed, and never written."""

    def __init__(self, layout: RunLayout) -> None:
        self._layout = layout
        self._lock = threading.Lock()
        self._tables: tuple[object, list[dict[str, Any]]] = (None, [])

    def state(self) -> dict[str, Any]:
        """As JSON; whatever is missing or damaged is left out and named in `problems`."""
        with self._lock:
            run = RunData(self._layout)
            run.about, run.summary = self._json(run, "run.json"), self._json(run, "summary.json")
            run.recipe = self._recipe(run)
            rows = run.summary.get("stages")
            run.results = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
            stages = [self._stage(run, plan) for plan in planned(run.recipe)]
            tables = self._results(run)
        root = self._layout.root
        return {
            "name": clean(run.summary.get("name") or run.recipe.get("name") or root.resolve().name),
            "description": clean(run.recipe.get("description") or "", 500),
            "folder": clean(root, 300),
            "facts": _facts(run),
            "writing": _is_held(root / "lock"),
            "quiet": _seconds_since(self._layout.metrics),
            "seconds": number(run.summary.get("seconds")),
            "stages": stages,
            "tables": tables,
            "report": self._layout.report.is_file(),
            "problems": [clean(problem, 500) for problem in run.problems],
        }

    def settings(self, stage: str) -> dict[str, Any]:
        """The table of a stage in recipe.toml; empty where there is none."""
        with self._lock:
            plans = planned(self._recipe(RunData(self._layout)))
        return next((plan for plan in plans if plan.get("name") == stage), {})

    def _stage(self, run: RunData, plan: Mapping[str, Any]) -> dict[str, Any]:
        name, kind, steps = str(plan.get("name")), str(plan.get("kind")), plan.get("steps")
        told: dict[str, Any] = {}
        trained: list[int] = []
        with suppress(ValueError):  # a name that no stage can have, and that may lead anywhere
            told = self._json(run, self._layout.guard(name).relative_to(self._layout.root).as_posix(), optional=True)
            trained = self._layout.group_steps(name)[-1:]
        # Of the records the story only wants to know how many there are.
        story = Story.of(Stage(name, kind, [{}] * sum(trained), dict(plan), [], None, told or None))
        return {
            "name": clean(name),
            "kind": clean(kind),
            "words": TRAINING.get(kind, ""),
            "steps": steps if isinstance(steps, int) else None,
            "trains": kind in TRAINING,
            "guard": None if story is None else _guard(story),
        }

    def _results(self, run: RunData) -> list[dict[str, Any]]:
        """Read anew only where the summary has changed: intervals are bootstrapped."""
        if not run.results:
            return []
        key = json.dumps(run.results, sort_keys=True, default=str)
        if self._tables[0] != key:
            from mmupt.report.results import result_tables  # numpy and all the graders: not before there are results

            self._tables = key, [_without_breakdowns(asdict(table)) for table in result_tables(run)]
        return self._tables[1]

    def _json(self, run: RunData, name: str, *, optional: bool = False) -> dict[str, Any]:
        try:
            value = json.loads((self._layout.root / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            if not optional and name == "run.json":
                run.problems.append(f"{name} is missing: this may be no run folder, or one that has not begun")
            return {}
        except (ValueError, OSError, RecursionError) as error:
            run.problems.append(f"{name} cannot be read ({error})")
            return {}
        return value if isinstance(value, dict) else {}

    def _recipe(self, run: RunData) -> dict[str, Any]:
        try:
            return tomllib.loads(self._layout.recipe.read_text(encoding="utf-8", errors="replace"))
        except FileNotFoundError:
            run.problems.append("recipe.toml is missing")
        except (tomllib.TOMLDecodeError, OSError, RecursionError) as error:
            run.problems.append(f"recipe.toml cannot be read ({error})")
        return {}


def planned(recipe: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The stages of a recipe, in order."""
    stages = recipe.get("stages")
    return [stage for stage in stages if isinstance(stage, dict)] if isinstance(stages, list) else []


def names_of_numbers() -> dict[str, Any]:
    """How the page titles its curves, and which of them are shares."""
    return {
        "curves": [[key, title, key in SHARES, key in ONLY_IF_IT_MOVES] for key, title in CHARTS.items()],
        "measured": [[key, title, key in MEASURED_SHARES] for key, title in MEASURED.items()],
    }


def _guard(story: Story) -> dict[str, Any]:
    last = story.decisive
    light = "good" if last is None else "bad" if is_grave(last) or story.shut else "watch"
    return {
        "light": "bad" if story.shut else light,
        "did": clean(what_it_did(story), 500),
        "watched": clean(what_it_watched(story), 500),
        "events": [asdict(row) for row in event_rows(story)],
        "start": _numbers(story.start),
        "measurements": [_numbers(measured) for measured in story.measurements],
        "best": story.best_step,
        "marks": [[event.step, is_grave(event)] for event in story.events if event.done != ("refresh",)],
    }


def _numbers(values: Mapping[str, Any]) -> dict[str, float | None]:
    found = {clean(key): number(value) for key, value in values.items()}
    return {key: value if value is not None and abs(value) < 1e300 else None for key, value in found.items()}


def _without_breakdowns(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key != "breakdowns"}


def _facts(run: RunData) -> list[tuple[str, str]]:
    versions = run.about.get("versions")
    facts = {
        "seed": run.about.get("seed"),
        "begun": str(run.about.get("created", "")).replace("T", " ").replace("+00:00", " UTC"),
        "device": run.summary.get("device"),
        **(versions if isinstance(versions, dict) else {}),
    }
    return [(clean(key), clean(value)) for key, value in facts.items() if value not in (None, "")]


def _is_held(lock: Path) -> bool:
    """Whether a process holds the run folder, by what it has written into the lock: nobody is kept from taking it.

    A process of this machine that is gone holds nothing; of another machine's the text is believed.
    """
    try:
        pid, _, host = lock.read_text(encoding="utf-8", errors="replace").strip().partition(" ")
        if not pid.isdecimal():
            return False
        if host == socket.gethostname():
            os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError, ValueError) as error:
        return isinstance(error, PermissionError)  # somebody else's process: it lives
    return True


def _seconds_since(path: Path) -> float | None:
    try:
        return max(0.0, round(time.time() - path.stat().st_mtime, 1))
    except OSError:
        return None

"""From signals to actions: a ladder that is climbed only while signals stay out of bounds.

    out for the first time            warn
    out `patience` times in a row     slow, freeze     (the label-free score: rollback)
    out twice as often                rollback
    collapsed                         rollback, stop   (at once)

A rollback comes with a slow-down the first time; where the stage has been slowed down before, or may not be, it ends.
A signal that is back inside its bound is forgiven.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mmupt.guard.bounds import SCORE, Reading
from mmupt.guard.settings import Action, GuardSettings


@dataclass(frozen=True, slots=True)
class Event:
    """Something seen at `step`, in one sentence. `action` is the strongest thing that follows; `done` what of it is
    allowed and was done, `not_done` what `guard.actions` leaves out. `start` is what the signal is compared with."""

    step: int
    action: Action
    signal: str
    text: str
    value: float
    start: float
    bound: float
    done: tuple[Action, ...] = ()
    not_done: tuple[Action, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "done": list(self.done), "not_done": list(self.not_done)}

    @staticmethod
    def from_json(state: dict[str, Any]) -> Event:
        return Event(**{**state, "done": tuple(state["done"]), "not_done": tuple(state["not_done"])})


STRENGTH: tuple[Action, ...] = ("warn", "refresh", "freeze", "slow", "rollback", "stop")


class Ladder:
    """`back_to` of its methods is the step a rollback goes back to (0: the start)."""

    def __init__(self, settings: GuardSettings) -> None:
        self._settings = settings
        self._streaks: dict[str, int] = {}
        self._said: set[str] = set()
        """What has been said in this episode and is not said again: names of signals, "slow", "last", "collapse"."""
        self.slowed = False
        """Whether the stage has been slowed down, in this episode or an earlier one."""

    def collapsed(self, step: int, readings: Sequence[Reading], back_to: int) -> list[Event]:
        """No patience is had with a collapse."""
        worst = next((reading for reading in readings if reading.collapsed), None)
        if worst is None or "collapse" in self._said:
            return []
        event = self.event(step, worst, ("rollback", "stop"), back_to)
        if "rollback" in event.done:
            self._forgive()
        else:
            self._said |= {"collapse", "last"}
        return [event]

    def measured(self, step: int, readings: Sequence[Reading], back_to: int) -> list[Event]:
        """All signals at a measurement: what has newly gone out of bounds is told, what stays out is acted on."""
        for reading in readings:
            name = reading.signal.name
            self._streaks[name] = self._streaks.get(name, 0) + 1 if reading.out else 0
            if not reading.out:
                self._said.discard(name)
        acting = [reading for reading in readings if reading.out and reading.signal.acts]
        if not acting:
            self._said -= {"slow", "last", "collapse"}
        decided = self._act(step, acting, back_to)
        warnings = []
        for reading in readings:
            name = reading.signal.name
            if reading.out and name not in self._said:
                self._said.add(name)
                if decided is None or decided.signal != name:
                    warnings.append(self.event(step, reading, ("warn",), back_to))
        if decided is not None and "rollback" in decided.done:
            self._forgive()
        return [*warnings, *([decided] if decided is not None else [])]

    def event(self, step: int, reading: Reading, wanted: tuple[Action, ...], back_to: int) -> Event:
        """What was seen and what follows, in one sentence."""
        done = tuple(action for action in wanted if action in self._settings.actions)
        not_done = tuple(action for action in wanted if action not in done)
        signal = reading.signal
        streak = self._streaks.get(signal.name, 0)
        times = f" at {streak} measurements in a row" if streak > 1 else ""
        compared = "at best" if signal.name == SCORE else "at the start"
        seen = (
            f"{signal.says} is {reading.value:.3g}{times} ({compared} {reading.start:.3g}, bound {reading.bound:.3g})"
        )
        return Event(
            step=step,
            action=max(wanted, key=STRENGTH.index),
            signal=signal.name,
            text=f"{seen}: {self._follows(done, not_done, signal.acts, back_to)}",
            value=reading.value,
            start=reading.start,
            bound=reading.bound,
            done=done,
            not_done=not_done,
        )

    def state(self) -> dict[str, Any]:
        return {"streaks": dict(self._streaks), "said": sorted(self._said), "slowed": self.slowed}

    def load_state(self, state: dict[str, Any]) -> None:
        self._streaks, self._said, self.slowed = dict(state["streaks"]), set(state["said"]), state["slowed"]

    def _act(self, step: int, acting: Sequence[Reading], back_to: int) -> Event | None:
        patience = self._settings.patience
        late = [r for r in acting if self._streaks[r.signal.name] >= patience]
        too_late = [r for r in late if r.signal.name == SCORE or self._streaks[r.signal.name] >= 2 * patience]
        if too_late and "last" not in self._said:
            last = self.slowed or "slow" not in self._settings.actions
            wanted: tuple[Action, ...] = ("rollback", "stop") if last else ("rollback", "slow", "freeze")
            event = self.event(step, too_late[0], wanted, back_to)
            self._said.add("last" if last else "slow")
            for reading in acting:  # what was done here gets as much time to show
                self._streaks[reading.signal.name] = 0
        elif late and "slow" not in self._said:
            event = self.event(step, late[0], ("slow", "freeze"), back_to)
            self._said.add("slow")
        else:
            return None
        self.slowed = self.slowed or "slow" in event.done
        return event

    def _forgive(self) -> None:
        """The weights are good ones again."""
        self._streaks, self._said = {}, set()

    def _follows(self, done: Sequence[Action], not_done: Sequence[Action], acts: bool, back_to: int) -> str:
        factor = self._settings.slow_factor
        words = {
            "warn": "nothing is done yet" if acts else "nothing is done about it",
            "slow": f"learning goes on with {factor:g} times the learning rate",
            "freeze": "a teacher that moves stands still from now on",
            "refresh": "the teacher becomes the model of now",
            "rollback": f"back to step {back_to}" if back_to else "back to the start",
            "stop": "the stage ends here",
        }
        if tuple(not_done) == ("warn",):  # an event is told whatever guard.actions says
            done, not_done = ("warn",), ()
        parts = [", ".join(words[action] for action in done)] if done else []
        if not_done:
            parts.append(f"guard.actions leaves out {' and '.join(not_done)}, which would follow")
        return "; ".join(parts)

"""Which code of the user's a run was made with: `own_code` of run.json, a hash of each file that its recipe names."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmupt.rewards.own.loading import load_own
from mmupt.rewards.settings import RewardSettings
from mmupt.runtime.files import write_json

if TYPE_CHECKING:
    from mmupt.recipe import Recipe

_KEY = "own_code"


def own_names(reward: RewardSettings) -> tuple[str, ...]:
    """The rewards of the user's own among a reward and its terms."""
    whole = (reward.name,) if reward.own else ()
    return (*whole, *(term.name for term in reward.terms if term.own))


def check_own(recipe: Recipe) -> dict[str, dict[str, str | None]]:
    """Loads every reward of the user's that a stage names; by name its file and hash. Raises ConfigError for what
    cannot be loaded."""
    rewards = [stage.reward for stage in recipe.stages if isinstance(getattr(stage, "reward", None), RewardSettings)]  # type: ignore[union-attr]
    loaded = [load_own(name) for name in dict.fromkeys(name for reward in rewards for name in own_names(reward))]
    return {own.name: {"file": own.file, "sha256": own.sha256} for own in loaded}


def record_own(recipe: Recipe, run_json: Path, tell: Callable[[str], None]) -> None:
    """Writes into run.json what code the run uses from now on. Where a resumed run finds other code than it had, that
    is told and both stay on record; the run goes on, as the usual reason to change a reward is that it failed."""
    now = check_own(recipe)
    if not now:
        return
    run: dict[str, Any] = json.loads(run_json.read_text(encoding="utf-8"))
    record: list[dict[str, Any]] = run.setdefault(_KEY, [])
    before = record[-1]["rewards"] if record else None
    if before == now:
        return
    if before is not None:
        for name, code in now.items():
            if before.get(name, code) != code:
                tell(
                    f'CHANGED: the code of reward "{name}" is not what this run was begun with; steps before and after '
                    "were rewarded differently (both hashes are in run.json). Start anew where that matters"
                )
    record.append({"since": datetime.now(UTC).isoformat(timespec="seconds"), "rewards": now})
    write_json(run_json, run)

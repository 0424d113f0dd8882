"""Rewards that sample groups of their own, in a whole run: they are learned from, kept, and the same after a resume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmupt.pipeline import run_recipe
from mmupt.recipe import load_recipe
from mmupt.runtime.groups import read_groups
from mmupt.runtime.layout import RunLayout
from mmupt.train import grpo

REWARDS: dict[str, dict[str, Any]] = {
    "co_reward": {"views": ["crop", "noise", "rephrase"]},
    "self_judge": {},
    "verified_vote": {"verifications": 3},
}
ROLES = {"co_reward": {"answer", "view"}, "self_judge": {"answer"}, "verified_vote": {"answer", "verification"}}
# The model of the fixture says a number whatever it is asked: a verifier that never says yes refuses everything.
LEARNED = {**ROLES, "verified_vote": set()}
Groups = list[list[dict[str, object]]]


def groups_of(root: Path) -> Groups:
    return [read_groups(RunLayout(root).groups("upt", step)) for step in range(1, 7)]


@pytest.mark.slow
@pytest.mark.parametrize("name", REWARDS)
def test_a_run_with_companions(
    name: str, micro: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edit(table: dict[str, Any]) -> None:
        stage = next(stage for stage in table["stages"] if stage["kind"] == "upt")
        stage |= {"reward": {"name": name, **REWARDS[name]}, "guard": {"enabled": False}}
        table.update(stages=[stage])
        del table["evaluation"]

    recipe = load_recipe(str(micro(edit)))
    whole = groups_of(run_recipe(recipe))
    rows = [row for step in whole for row in step]
    assert {row["role"] for row in rows} == ROLES[name]
    learned = {row["role"] for row in rows if any(row["advantages"])}  # type: ignore[arg-type, call-overload]
    assert learned == LEARNED[name]
    if name == "co_reward":
        assert len(rows) == 6 * 8, "a view of each group"

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    steps = 0
    append = grpo.write_groups

    def fifth_is_the_last(*arguments: Any, **named: Any) -> None:
        nonlocal steps
        steps += 1
        (killed if steps == 5 else append)(*arguments, **named)

    recipe = load_recipe(str(micro(lambda table: (edit(table), table.update(run_dir=str(tmp_path / "other"))))))  # type: ignore[func-returns-value]
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(grpo, "write_groups", fifth_is_the_last)
        run_recipe(recipe)
    assert groups_of(run_recipe(recipe, resume=True)) == whole

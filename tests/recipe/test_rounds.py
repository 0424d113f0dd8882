"""`[loop]`: what a recipe with rounds is written out as, and what is told where it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli_w

from mmupt.errors import ConfigError
from mmupt.recipe import Recipe, dump_recipe, load_recipe


def upt(name: str, **more: Any) -> dict[str, Any]:
    return {"kind": "upt", "name": name, "steps": 2, "data": {"path": "world:unlabeled"}, **more}


def written(tmp_path: Path, stages: list[dict[str, Any]], loop: Any, **more: Any) -> str:
    path = tmp_path / "rounds.toml"
    table = {"name": "rounds", "model": {"path": "world:tiny"}, "stages": stages, "loop": loop, **more}
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return str(path)


def follows(recipe: Recipe) -> list[tuple[str, str | None]]:
    return [(stage.name, stage.guard.follows) for stage in recipe.stages]  # type: ignore[union-attr]


def test_rounds_are_stages_that_follow_each_other(tmp_path: Path) -> None:
    stages = [upt("first"), upt("a"), upt("b"), upt("last")]
    recipe = load_recipe(written(tmp_path, stages, {"stages": ["a", "b"], "rounds": 3}))
    assert follows(recipe) == [
        ("first", None),
        ("a-1", None),
        ("b-1", None),
        ("a-2", "a-1"),
        ("b-2", "b-1"),
        ("a-3", "a-2"),
        ("b-3", "b-2"),
        ("last", None),
    ]


def test_what_is_resolved_loads_to_the_same_recipe(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, [upt("a")], {"stages": ["a"], "rounds": 2}))
    again = tmp_path / "again.toml"
    again.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(str(again)) == recipe


def test_without_a_guard_nothing_is_followed(tmp_path: Path) -> None:
    loop = {"stages": ["a"], "rounds": 2}
    assert follows(load_recipe(written(tmp_path, [upt("a", guard={"enabled": False})], loop)))[1][1] is None
    assert follows(load_recipe(written(tmp_path, [upt("a")], loop, guard={"enabled": False})))[1][1] is None
    both = [upt("a", guard={"enabled": True})]
    assert follows(load_recipe(written(tmp_path, both, loop, guard={"enabled": False})))[1][1] == "a-1"


def test_overrides_reach_every_round(tmp_path: Path) -> None:
    path = written(tmp_path, [upt("a")], {"stages": ["a"], "rounds": 2})
    recipe = load_recipe(path, ["stages.a.steps=7", "loop.rounds=3", "optimizer.lr=2e-5"])
    assert [(stage.steps, stage.optimizer.lr) for stage in recipe.stages] == [(7, 2e-5)] * 3  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("loop", "told"),
    [
        ({"stages": ["c"], "rounds": 2}, 'loop.stages: no stage is named "c"; the stages are a, b'),
        ({"stages": ["b", "a"], "rounds": 2}, "do not stand next to each other in this order; the stages are a, b"),
        ({"stages": ["a"], "rounds": 0}, "loop.rounds: must be at least 1, not 0"),
        ({"stages": ["a"], "round": 2}, "loop.round: unknown key; did you mean `rounds`? Known: rounds, stages"),
    ],
)
def test_a_faulty_loop_is_told_once(tmp_path: Path, loop: Any, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(written(tmp_path, [upt("a"), upt("b")], loop))
    assert str(caught.value).count(told) == 1


def test_a_fault_of_a_repeated_stage_is_told_of_the_stage_as_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(written(tmp_path, [upt("a", steps=0)], {"stages": ["a"], "rounds": 3}))
    assert str(caught.value).count("stages.a.steps: must be at least 1, not 0") == 1
    assert "a-2" not in str(caught.value)


def test_only_earlier_label_free_stages_are_followed(tmp_path: Path) -> None:
    stages = [upt("a", guard={"follows": "b"}), upt("b")]
    with pytest.raises(ConfigError, match=r'stages\.a\.guard\.follows: "b" is no earlier stage of kind "upt"'):
        load_recipe(written(tmp_path, stages, {"stages": ["b"], "rounds": 1}))


def test_rows_come_from_an_earlier_stage_that_makes_some(tmp_path: Path) -> None:
    stages = [upt("a"), upt("b", data={"path": "stage:a"})]
    with pytest.raises(ConfigError, match=r'stages\.b\.data\.path: "stage:a" is no earlier stage that makes rows'):
        load_recipe(written(tmp_path, stages, {"stages": ["b"], "rounds": 1}))

"""Names of rewards of one's own: told apart from ours, resolved, and never loaded to be checked."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from mmupt.errors import ConfigError
from mmupt.recipe import dump_recipe, load_recipe
from mmupt.rewards.own.naming import Reference, parse_reference
from mmupt.rewards.settings import RewardSettings

RECIPE = """
name = "own"
[model]
path = "world:tiny"
[data]
path = "world:unlabeled"
[[stages]]
kind = "upt"
name = "upt"
steps = 1
prompts_per_step = 2
updates_per_step = 1
[stages.reward]
name = "rewards.py:brevity"
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rewards.py:brevity", Reference("rewards.py", "brevity", is_file=True)),
        ("../a b/my.rewards.py:Own", Reference("../a b/my.rewards.py", "Own", is_file=True)),
        ("/x/y.py:f", Reference("/x/y.py", "f", is_file=True)),
        ("package.module:f", Reference("package.module", "f", is_file=False)),
        ("module:f", Reference("module", "f", is_file=False)),
        ("majority_vote", None),
        ("rewards.py", None),
        ("rewards.py:", None),
        ("rewards.py:not a name", None),
        ("a-b:f", None),
        ("", None),
    ],
)
def test_what_is_a_reference(name: str, expected: Reference | None) -> None:
    assert parse_reference(name) == expected


def test_the_path_is_relative_to_the_recipe_and_the_code_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "rewards.py").write_text("raise SystemExit('this must not run')")
    (folder / "own.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("recipes/own.toml")
    (stage,) = recipe.stages
    assert stage.reward.name == f"{folder}/rewards.py:brevity"  # type: ignore[union-attr]
    assert stage.reward.own and not RewardSettings().own  # type: ignore[union-attr]
    (tmp_path / "again.toml").write_text(dump_recipe(recipe))
    assert load_recipe("again.toml") == recipe


def test_a_path_from_the_command_line_is_relative_to_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/own.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    (stage,) = load_recipe("recipes/own.toml", ["stages.upt.reward.name=mine.py:f"]).stages
    assert stage.reward.name == f"{tmp_path}/mine.py:f"  # type: ignore[union-attr]


def test_terms_are_resolved_too(tmp_path: Path) -> None:
    terms = 'name = "combined"\nterms = [{name = "soft_vote"}, {name = "r.py:f", weight = 0.5}]\n'
    (tmp_path / "own.toml").write_text(RECIPE.replace('name = "rewards.py:brevity"', terms))
    (stage,) = load_recipe(str(tmp_path / "own.toml")).stages
    own = stage.reward.terms[1]  # type: ignore[union-attr]
    assert own.own and own.name == f"{tmp_path}/r.py:f"


def test_a_misspelt_name_is_guessed_at(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(RECIPE.replace("rewards.py:brevity", "majority_vot"))
    with pytest.raises(ConfigError, match=r'stages.upt.reward.name: must be one of .*did you mean "majority_vote"'):
        load_recipe(str(tmp_path / "own.toml"))


def test_settings_of_other_rewards_are_refused() -> None:
    with pytest.raises(ValidationError, match=r'teacher_size is read by .* not by "r.py:f"'):
        RewardSettings.model_validate({"name": "r.py:f", "teacher_size": 3})


def test_a_labelled_stage_keeps_its_own_reward(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(RECIPE.replace('kind = "upt"', 'kind = "rl"'))
    with pytest.raises(ConfigError, match=r'reward\.name must be "ground_truth"'):
        load_recipe(str(tmp_path / "own.toml"))

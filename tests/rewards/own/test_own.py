"""Rewards of one's own: what they are handed, what they return, and how their faults are told."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from mmupt.answers.settings import AnswerSettings
from mmupt.errors import ConfigError, TrainingError
from mmupt.rewards.base import Reward
from mmupt.rewards.own.group import SampledGroup
from mmupt.rewards.own.loading import load_own
from mmupt.rewards.registry import build_reward
from mmupt.rewards.settings import RewardSettings
from mmupt.rewards.tools import Tools
from mmupt.types import RolloutGroup

Build = Callable[..., Reward]
GroupOf = Callable[..., RolloutGroup]

BREVITY = """
def brevity(group):
    longest = max(group.lengths)
    return [1 - n / longest for n in group.lengths]
"""


@pytest.fixture
def build(make_tools: Callable[..., Tools], tmp_path: Path) -> Build:
    """`build(code, "name")`: the reward `name` of a file with that code, in which labels must not be looked at."""

    def _build(code: str, attribute: str, **keys: Any) -> Reward:
        (tmp_path / "rewards.py").write_text(code)
        settings = RewardSettings.model_validate({"name": f"{tmp_path}/rewards.py:{attribute}", **keys})
        return build_reward(settings, AnswerSettings(), tools=make_tools(), seed=0, labels=None)

    return _build


def test_a_function_of_a_group(build: Build, group_of: GroupOf, boxed: Callable[..., list[str]]) -> None:
    reward = build(BREVITY, "brevity")
    group = group_of(boxed("3", "3.0", None), logprobs=[(0.0,), (0.0, 0.0), (0.0,) * 4])
    (score,) = reward.score([group])
    assert score.rewards == (0.75, 0.5, 0.0)
    assert score.vote.winner is not None and score.vote.winner.members == (0, 1)
    assert reward.name == "rewards.py:brevity"


def test_what_a_function_is_handed_has_no_place_for_a_label(
    build: Build, group_of: GroupOf, boxed: Callable[..., list[str]]
) -> None:
    assert {field.name for field in fields(SampledGroup)} == {
        "prompt", "responses", "answers", "vote", "lengths", "cut_off", "logprobs",
    }  # fmt: skip
    code = """
def spy(group):
    assert group.answers == ("3", None) and group.responses[0].endswith("}")
    assert (group.prompt.id, group.size, group.cut_off) == ("p", 2, (False, False))
    return [float(a is not None) for a in group.answers]
"""
    (score,) = build(code, "spy").score([group_of(boxed("3", None))])
    assert score.rewards == (1.0, 0.0)


def test_arrays_and_booleans_are_numbers(build: Build, group_of: GroupOf) -> None:
    code = (
        "import numpy as np, torch\nnp_ = lambda g: np.arange(2)\nt = lambda g: torch.ones(2)\nb = lambda g: [True, 0]"
    )
    for name, expected in (("np_", (0.0, 1.0)), ("t", (1.0, 1.0)), ("b", (1.0, 0.0))):
        assert build(code, name).score([group_of(["a", "b"])])[0].rewards == expected


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return [1.0]", "returned 1 numbers for the 2 responses of prompt"),
        ("return None", "returned nothing for the 2 responses"),
        ("return 'ab'", "returned a str for the 2 responses"),
        ("return {'a': 1, 'b': 2}", "returned a dict for the 2 responses"),
        ("return [0.0, float('nan')]", "returned nan for response 2"),
        ("return [float('-inf'), 0]", "returned -inf for response 1"),
        ("return [0, None]", "returned None for response 2"),
        ("return ['1', 0]", "returned '1' for response 1"),
        ("return 3", "returned a int for the 2 responses"),
        ("return [1 / 0, 0]", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_fault_names_reward_prompt_and_line(
    build: Build, group_of: GroupOf, tmp_path: Path, body: str, told: str
) -> None:
    reward = build(f"x = 1\n\n\ndef f(group):\n    {body}\n", "f")
    with pytest.raises(TrainingError) as caught:
        reward.score([group_of(["a", "b"], id="q7", visit=2)])
    message = str(caught.value)
    assert told in message and message.startswith('reward "rewards.py:f"')
    assert 'prompt "q7" (visit 2)' in message
    line = 5 if "ZeroDivision" in told else None
    assert f"{tmp_path}/rewards.py, line {line or 4}" in message


def test_the_line_is_the_users_even_where_a_library_raised(build: Build, group_of: GroupOf, tmp_path: Path) -> None:
    reward = build("import json\ndef f(group):\n    x = 2\n    return json.loads('{')\n", "f")
    with pytest.raises(TrainingError, match=r"JSONDecodeError.*rewards\.py, line 4\)"):
        reward.score([group_of(["a", "b"])])


CLASS = """
from mmupt.rewards.base import Reward, read_answers, group_vote
from mmupt.types import GroupScore

class Seen(Reward):
    name = "seen"
    def __init__(self, answers, reward, tools, *, seed):
        self.answers, self.reward, self.seed, self.steps = answers, reward, seed, 0
    def score(self, groups):
        return [self._one(g) for g in groups]
    def _one(self, group):
        vote = group_vote(group, self.answers, self.reward, seed=self.seed)
        BODY
    def after_step(self):
        self.steps += 1
    def state(self):
        return {"steps": self.steps}
    def load_state(self, state):
        self.steps = state["steps"]
"""


def test_a_class_with_state(build: Build, group_of: GroupOf) -> None:
    code = CLASS.replace("BODY", "return GroupScore((float(self.steps),) * group.size, vote)")
    reward = build(code, "Seen")
    reward.after_step()
    again = build(code, "Seen")
    again.load_state(reward.state())
    assert again.score([group_of(["a", "b"])])[0].rewards == (1.0, 1.0)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return GroupScore((0.0,), vote)", "returned 1 rewards for 2 rollouts"),
        ("return GroupScore((0.0, float('inf')), vote)", "rewards of rollout 1 is inf"),
        ("return [0.0, 0.0]", "returned a list"),
        ("return group.nothing", r"AttributeError: .*rewards\.py, line 13\)"),
    ],
)
def test_faults_of_a_class(build: Build, group_of: GroupOf, body: str, told: str) -> None:
    reward = build(CLASS.replace("BODY", body), "Seen")
    with pytest.raises(TrainingError, match=told) as caught:
        reward.score([group_of(["a", "b"], id="q7")])
    assert 'reward "rewards.py:Seen"' in str(caught.value) and '"q7"' in str(caught.value)


def test_own_rewards_can_be_terms(build: Build, group_of: GroupOf, tmp_path: Path) -> None:
    terms = [{"name": f"{tmp_path}/rewards.py:brevity"}, {"name": "soft_vote"}]
    (tmp_path / "rewards.py").write_text(BREVITY)
    settings = RewardSettings.model_validate({"name": "combined", "terms": terms})
    reward = build_reward(settings, AnswerSettings(), tools=None, seed=0, labels=None)  # type: ignore[arg-type]
    (score,) = reward.score([group_of([r"\boxed{1}", "none"], logprobs=[(0.0,), (0.0, 0.0)])])
    assert score.components["rewards.py:brevity"] == (0.5, 0.0)


@pytest.mark.parametrize(
    ("code", "attribute", "told"),
    [
        ("def f(g): return []", "g", r"has no `g`; it has f"),
        ("x = 3", "x", "is a int"),
        ("def f(): return []", "f", r"callable with one group.*line 1"),
        ("class C: pass", "C", r"no subclass of mmupt\.rewards\.base\.Reward"),
        ("from mmupt.rewards.base import Reward\nclass C(Reward): pass", "C", r"has no method score.*line 2"),
        ("def f(g):\n  return (", "f", r"SyntaxError.*rewards\.py, line 2"),
        ("import os\nos.nothing", "f", r"AttributeError.*rewards\.py, line 2"),
    ],
)
def test_what_cannot_be_a_reward(build: Build, code: str, attribute: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        build(code, attribute)


def test_a_file_or_module_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        load_own(f"{tmp_path}/none.py:f")
    with pytest.raises(ConfigError, match="No module named 'no_such'"):
        load_own("no_such.module:f")


def test_an_entry_point_is_loaded_only_when_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package as pip would have installed it; its other reward would stop the interpreter."""
    (tmp_path / "brought_along.py").write_text(BREVITY)
    (tmp_path / "explosive.py").write_text("raise SystemExit('loaded')")
    info = tmp_path / "brought-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mmupt.rewards]\nshort = brought_along:brevity\nbomb = explosive:f\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    assert RewardSettings(name="short").own
    with pytest.raises(ValueError, match='did you mean "short"'):
        RewardSettings(name="shorr")
    own = load_own("short")
    assert own.file == str(tmp_path / "brought_along.py") and own.label == "short"
    assert "explosive" not in sys.modules

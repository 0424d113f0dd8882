"""`[reward]`: what is refused, and what the message says."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mmupt.rewards.settings import LABEL_FREE, READERS, RewardSettings

CHANGED: dict[str, Any] = {
    "entropy_band": [0.1, 1.0],
    "teacher_size": 4,
    "ema_decay": 0.9,
    "views": ["crop"],
    "rephrase_prompt": "Say {question} again.",
    "judge_range": [0.9, 1.1],
    "certain_share": 0.5,
    "judge_prompt": "Is {answer} right? {question}",
    "verifications": 3,
    "solver_size": 4,
    "repetition_weight": 0.5,
    "answer_suffix": "",
    "terms": [{"name": "soft_vote"}, {"name": "novelty"}],
}
"""A value other than the default for every key that only some rewards read."""
NAMES = [*LABEL_FREE, "ground_truth"]


def settings(name: str, **keys: Any) -> RewardSettings:
    if name == "combined":
        keys.setdefault("terms", CHANGED["terms"])
    return RewardSettings.model_validate({"name": name, **keys})


def test_every_key_of_some_rewards_is_tested_here() -> None:
    assert set(CHANGED) == set(READERS)
    assert all(set(readers) <= set(NAMES) for readers in READERS.values())
    common = {"name", "ties", "quorum"}
    assert set(RewardSettings.model_fields) == set(READERS) | common


@pytest.mark.parametrize("key", CHANGED)
@pytest.mark.parametrize("name", NAMES)
def test_a_key_that_the_reward_does_not_read_is_refused(name: str, key: str) -> None:
    if name in READERS[key]:
        settings(name, **{key: CHANGED[key]})
        return
    message = f'{key} is read by {", ".join(READERS[key])}, not by "{name}"; remove it'
    with pytest.raises(ValidationError) as caught:
        settings(name, **{key: CHANGED[key]})
    assert message in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_ties_and_quorum_are_for_all(name: str) -> None:
    assert settings(name, ties="random", quorum=0.5).quorum == 0.5


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        ("majority", {}, "majority_vote"),
        ("soft_vote", {"entropy_band": [1.0, 0.5]}, "entropy_band = [1.0, 0.5] must rise from 0 or more"),
        ("soft_vote", {"entropy_band": [-1.0, 0.5]}, "entropy_band = [-1.0, 0.5] must rise from 0 or more"),
        ("self_judge", {"judge_range": [1.2, 1.2]}, "judge_range = [1.2, 1.2] must rise from 0 or more"),
        ("self_judge", {"judge_prompt": "Is it {answer}?"}, "judge_prompt has no {question}; put it where it belongs"),
        ("self_judge", {"judge_prompt": "Is it?"}, "judge_prompt has no {question} and no {answer}"),
        ("co_reward", {"rephrase_prompt": "Again."}, "rephrase_prompt has no {question}"),
        ("co_reward", {"views": []}, "at least 1 item"),
        ("co_reward", {"views": ["blur"]}, "'crop', 'rotate'"),
        ("combined", {"terms": []}, "needs two or more terms"),
        ("combined", {"terms": [{"name": "soft_vote"}]}, "needs two or more terms"),
        ("combined", {"terms": [{"name": "combined"}, {"name": "soft_vote"}]}, 'cannot be "combined" itself'),
        ("combined", {"terms": [{"name": "ground_truth"}, {"name": "soft_vote"}]}, "terms.0.name"),
        ("combined", {"terms": [{"name": "soft_vote", "weight": 0}, {"name": "novelty"}]}, "greater than 0"),
        ("ema_vote", {"ema_decay": 1.0}, "less than 1"),
        ("self_judge", {"certain_share": 0.0}, "greater than 0"),
        ("start_vote", {"teacher_size": -1}, "greater than or equal to 0"),
        ("majority_vote", {"quorum": 1.5}, "less than or equal to 1"),
        ("majority_vote", {"ties": "last"}, "'none', 'first' or 'random'"),
        ("majority_vote", {"threshold": 0.5}, "threshold"),
    ],
)
def test_mistakes_are_told(name: str, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        RewardSettings.model_validate({"name": name, **keys})
    assert message in str(caught.value)


def test_all_mistakes_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        settings("novelty", teacher_size=4, entropy_band=[2.0, 1.0])
    for message in ("teacher_size is read by", "entropy_band is read by", "must rise from 0"):
        assert message in str(caught.value)


def test_lists_of_a_recipe_become_tuples() -> None:
    """TOML has lists; settings are immutable."""
    band = settings("soft_vote", entropy_band=[0, 1]).entropy_band
    assert band == (0.0, 1.0) and isinstance(band, tuple)
    assert settings("co_reward", views=["crop", "rephrase"]).views == ("crop", "rephrase")
    assert [
        term.weight
        for term in settings("combined", terms=[{"name": "random"}, {"name": "novelty", "weight": 2.0}]).terms
    ] == [1.0, 2.0]

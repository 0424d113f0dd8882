"""What a recipe may say of the stages that make rows, and how it is told otherwise."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from mmupt.selftrain.settings import LABELS_KEPT, LABELS_PREFERRED, PairsStage, TargetsStage


def targets(**values: Any) -> TargetsStage:
    return TargetsStage.model_validate({"kind": "targets", "name": "t", "data": {"path": "x"}, **values})


def pairs(prefer: str, **values: Any) -> PairsStage:
    return PairsStage.model_validate({"kind": "pairs", "name": "p", "data": {"path": "x"}, "prefer": prefer, **values})


def test_what_reads_labels_says_so() -> None:
    for keep in ("majority", "self_check", "all", "gold", "data"):
        assert targets(keep=keep, describe=True).reads == ("labels" if keep in LABELS_KEPT else "prompts")
    for prefer in ("judge", "corrupted", "gold", "gold_over_own"):
        assert pairs(prefer).reads == ("labels" if prefer in LABELS_PREFERRED else "prompts")
    assert LABELS_KEPT == ("gold", "data") and LABELS_PREFERRED == ("gold", "gold_over_own")


def test_defaults_are_the_papers() -> None:
    stage = targets(keep="self_check")
    assert (stage.threshold, stage.verdict.by, stage.verdict.samples) == (0.7, "p_yes", 3)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"keep": "gold", "threshold": 0.5}, 'threshold is read by keep = "self_check", not by "gold"; remove it'),
        ({"keep": "all", "min_share": 0.5}, 'min_share is read by keep = "majority"'),
        ({"keep": "all", "verdict": {"by": "sampled"}}, "verdict is read by"),
        ({"keep": "data"}, "train on the data itself"),
        ({"keep": "self_check", "verdict": {"by": "points"}}, "no probability"),
        ({"keep": "majority", "rollout": {"group_size": 1}}, "use 2 or more"),
        ({"describing": {"good": "x"}}, "describe = true"),
        ({"describe": True, "describing": {"infused": "{question}"}}, "infused has no {description}"),
        ({"describe": True, "describing": {"plain": ["<image> say"]}}, "must not hold <image>"),
        ({"keep": "self_check", "verdict": {"prompt": "{question}?"}}, "prompt has no {answer}"),
        ({"keep": "self_check", "verdict": {"samples": 5}}, "samples nothing"),
    ],
)
def test_targets_that_cannot_be(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        targets(**values)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("prefer", "values", "said"),
    [
        ("gold", {"margin": 0.5}, 'margin is read by prefer = "judge"'),
        ("judge", {"per_prompt": 2}, 'per_prompt is read by prefer = "gold" and "gold_over_own"'),
        ("judge", {"margin": 1.0}, "as much as scores can differ"),
        ("judge", {"rollout": {"group_size": 1}}, "use 2 or more"),
        ("gold", {"rollout": {"group_size": 1}}, "use 2 or more"),
        ("judge", {"describing": {"good": "x"}}, 'describing is read by prefer = "corrupted"'),
        ("corrupted", {"describing": {"bad": [], "corruptions": []}}, "both empty"),
    ],
)
def test_pairs_that_cannot_be(prefer: str, values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        pairs(prefer, **values)
    assert said in str(error.value)


def test_one_own_answer_is_enough_for_spin_and_points_may_lie_further_apart() -> None:
    assert pairs("gold_over_own", rollout={"group_size": 1}).rollout.group_size == 1
    assert pairs("judge", margin=1.5, verdict={"by": "points"}).margin == 1.5


def test_settings_need_no_torch() -> None:
    code = "import sys, mmupt.selftrain.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

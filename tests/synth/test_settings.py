"""A stage of kind `synth`: what is refused, and what the message says."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mmupt.errors import ConfigError
from mmupt.recipe import dump_recipe, load_recipe
from mmupt.synth.settings import SynthStage

Make = Callable[..., SynthStage]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"templates": {"direct": "About {question}"}}, "direct has the unknown placeholder {question}. Known: none"),
        ({"templates": {"in_context": "{question} {anwser}"}}, "did you mean {answer}?"),
        ({"templates": {"in_context": "Another one."}}, "in_context has no {question}; put it where"),
        ({"templates": {"direct": ""}}, "at least 1 character"),
        ({"answer_from": "gold"}, 'answer_from "gold" is for mode "in_context"'),
        (
            {"answer_from": "gold", "mode": "in_context", "templates": {"in_context": "{question}"}},
            "templates.in_context has no {answer}",
        ),
        ({"samples": 1}, "samples = 1 is no vote"),
        ({"candidates": 0}, "greater than or equal to 1"),
        ({"filters": {"share": [0.9, 0.3]}}, "share = [0.9, 0.3] must rise"),
        ({"filters": {"min_length": 10, "max_length": 9}}, "min_length 10 is larger than max_length 9"),
        ({"filters": {"reference": "eyes"}}, "'blind', 'words' or 'off'"),
        ({"mode": "both"}, "'direct' or 'in_context'"),
    ],
)
def test_mistakes_are_told(make_stage: Make, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        make_stage(**changes)
    assert message in str(caught.value)


def test_who_reads_labels(make_stage: Make) -> None:
    shown = {"in_context": "{question} {answer}"}
    assert make_stage().reads == "pictures" and make_stage(mode="in_context", templates=shown).reads == "prompts"
    assert make_stage(mode="in_context", templates=shown, answer_from="gold").reads == "labels"
    assert make_stage(mode="in_context", templates={"in_context": "{question}"}).shows_answers is False


def test_samples(make_stage: Make) -> None:
    assert make_stage().num_samples == 4 and make_stage(samples=7).num_samples == 7


def test_in_a_recipe(tmp_path: Path) -> None:
    """Shared tables reach the stage; every problem is told with its key; what is written loads again."""
    recipe = load_recipe("synth", ['model.path="m"', 'data.path="d"', "rollout.group_size=5", "stages.synth.keep=3"])
    (stage,) = recipe.stages
    assert isinstance(stage, SynthStage) and stage.num_samples == 5 and stage.keep == 3
    path = tmp_path / "again.toml"
    path.write_text(dump_recipe(recipe))
    assert load_recipe(str(path)) == recipe
    assert "templates" in tomllib.loads(path.read_text())["stages"][0]
    with pytest.raises(ConfigError) as caught:
        load_recipe(
            "synth", ['model.path="m"', 'data.path="d"', 'stages.synth.templates.direct="{x}"', "stages.synth.steps=3"]
        )
    assert "stages.synth.templates" in str(caught.value) and "unknown placeholder {x}" in str(caught.value)
    assert "stages.synth.steps" in str(caught.value)


def test_settings_need_no_torch() -> None:
    code = "import sys, mmupt.synth.settings; assert not {'torch', 'transformers'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

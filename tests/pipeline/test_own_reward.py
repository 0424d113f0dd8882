"""A run with a reward of one's own: checked before anything is written, recorded, blind to labels, and resumed after
its code was mended."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmupt.errors import ConfigError, TrainingError
from mmupt.pipeline import run_recipe
from mmupt.recipe import load_recipe
from mmupt.runtime.groups import read_groups
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import read_metrics

Micro = Callable[..., Path]
GOOD = "def brevity(group):\n    return [-float(n) for n in group.lengths]\n"
FAILING = """seen = []
def brevity(group):
    seen.append(group)
    assert len(seen) <= 8, 'enough'
    return [0.0] * group.size
"""


@pytest.fixture
def own(micro: Micro, tmp_path: Path) -> Callable[[str], Path]:
    """A recipe whose upt stage is rewarded by `rewards.py` beside it, with the code given."""

    def only_upt(table: dict[str, Any]) -> None:
        table["stages"] = [s for s in table["stages"] if s["kind"] == "upt"]
        table["stages"][0].update(reward={"name": "rewards.py:brevity"}, steps=3, checkpoint_every=1)
        table["stages"][0]["guard"] = {"enabled": False}
        del table["evaluation"]

    def _own(code: str) -> Path:
        (tmp_path / "rewards.py").write_text(code)
        return micro(only_upt)

    return _own


def test_a_run_learns_from_it_and_says_what_code_it_was(own: Callable[[str], Path], tmp_path: Path) -> None:
    run = RunLayout(run_recipe(load_recipe(str(own(GOOD)))))
    (record,) = json.loads(run.run.read_text())["own_code"]
    name = f"{tmp_path}/rewards.py:brevity"
    assert record["rewards"] == {
        name: {"file": f"{tmp_path}/rewards.py", "sha256": hashlib.sha256(GOOD.encode()).hexdigest()}
    }
    assert [m["step"] for m in read_metrics(run.metrics)] == [1, 2, 3]
    for group in read_groups(run.groups("upt", 1)):
        assert all(reward < 0 for reward in group["rewards"])


def test_code_that_cannot_be_loaded_leaves_no_trace(own: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no `brevity`; it has brevety"):
        run_recipe(load_recipe(str(own("def brevety(group): return []"))))
    assert not (tmp_path / "run").exists()


def test_mended_code_goes_on_and_the_change_is_told(
    own: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = own(FAILING)
    with pytest.raises(TrainingError, match=r"AssertionError: enough \(.*rewards\.py, line 4\)"):
        run_recipe(load_recipe(str(recipe)))
    (tmp_path / "rewards.py").write_text(GOOD)
    capsys.readouterr()
    run = RunLayout(run_recipe(load_recipe(str(recipe)), resume=True))
    assert 'CHANGED: the code of reward "' in capsys.readouterr().out
    before, after = json.loads(run.run.read_text())["own_code"]
    assert before["rewards"] != after["rewards"]
    assert [m["step"] for m in read_metrics(run.metrics)] == [1, 2, 3]
    assert read_metrics(run.metrics)[0]["reward"] == 0 > read_metrics(run.metrics)[2]["reward"]  # type: ignore[operator]


def test_the_same_code_says_nothing(own: Callable[[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    recipe = own(GOOD)
    run = RunLayout(run_recipe(load_recipe(str(recipe))))
    run_recipe(load_recipe(str(recipe)), resume=True)
    assert "CHANGED" not in capsys.readouterr().out
    assert len(json.loads(run.run.read_text())["own_code"]) == 1


@pytest.mark.parametrize("absurd", [False, True])
def test_no_label_reaches_it(own: Callable[[str], Path], questions: Path, tmp_path: Path, absurd: bool) -> None:
    """All that a reward can reach from what it is handed is searched for the label."""
    rows = [json.loads(line) for line in questions.read_text().split("\n") if line]
    for row in rows:
        row["answer"] = row["solution"] = "SECRET" if absurd else "314159"
        row["meta"] = {"note": row["answer"]}
    file = questions.with_name("secret.jsonl")
    file.write_text("\n".join(json.dumps(row) for row in rows))
    code = (
        "def brevity(group):\n    assert 'SECRET' not in repr(group) and '314159' not in repr(group)\n"
        + GOOD.split("\n")[1]
    )
    recipe = load_recipe(str(own(code)), [f"stages.upt.data.path={file}", "stages.upt.steps=1"])
    run_recipe(recipe)

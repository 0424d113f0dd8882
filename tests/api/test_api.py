"""The Python API as its users write it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mmupt
from mmupt import MmuptError, Run, evaluate, grade, load_recipe, probe, read_answer, reward, run, vote


def imported(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


def test_importing_mmupt_imports_nothing_else_of_it() -> None:
    modules = imported("import mmupt; mmupt.__version__")
    assert "mmupt" in modules
    heavy = {"torch", "transformers", "pydantic", "numpy", "datasets", "typer", "rich"}
    assert not heavy & {name.partition(".")[0] for name in modules}
    assert not [name for name in modules if name.startswith("mmupt.")]


@pytest.mark.parametrize(
    "code",
    [
        "from mmupt import vote, grade, read_answer; vote(['3', '4']); grade('3', '3')",
        "from mmupt import run, probe, evaluate, load_recipe; load_recipe('demo')",
        "from mmupt import reward, Reward, SampledGroup; reward('soft_vote')(['3', '4'])",
        "from mmupt import *",
    ],
)
def test_the_api_needs_no_torch_until_a_model_is_asked(code: str) -> None:
    modules = {name.partition(".")[0] for name in imported(code)}
    assert not {"torch", "transformers", "datasets", "pandas"} & modules


def test_every_name_is_there_and_listed() -> None:
    for name in mmupt.__all__:
        assert getattr(mmupt, name) is not None
    assert set(mmupt.__all__) <= set(dir(mmupt))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = mmupt.nonsense


class TestAnswers:
    def test_vote_over_texts(self) -> None:
        found = vote(["3", "three", r"\boxed{3}", "4", "I do not know."])
        assert [(c.answer, c.members) for c in found.clusters] == [("3", (0, 1, 2)), ("4", (3,))]
        assert found.winner is not None and found.share == 0.6 and found.num_answers == 4

    def test_settings_reach_the_vote(self) -> None:
        tied = ["1", "2", "no answer here at all, sorry"]
        assert vote(tied).majority is None and vote(tied, ties="first").majority == 0
        assert vote(["1", "1", tied[2]], quorum=0.9).majority is None
        assert len(vote(["1.00", "1.001"], tolerance=0.01).clusters) == 1
        assert vote(["3"], extract="boxed").num_answers == 0
        assert len(vote(["A", "45 km"], choices=["45 km", "5 km"]).clusters) == 1

    def test_grade(self) -> None:
        assert grade(r"\boxed{0.5}", "1/2") and not grade("0.4", "1/2")
        assert grade("0.499", "0.5", precision=2) and grade("0.499", "0.5", tolerance=0.01)
        assert grade("120 minutes", "2", unit="h") is False
        assert grade("(B)", "7", choices=["6", "7"])
        assert read_answer("I do not know.") is None and read_answer(r"\boxed{7}", extract="boxed") == "7"


class TestReward:
    def test_by_name(self) -> None:
        texts = ["3", "three", "4", "no idea"]
        assert reward()(texts) == (1.0, 1.0, 0.0, 0.0)
        assert reward("soft_vote")(texts) == (0.5, 0.5, 0.25, 0.0)
        assert reward("majority_vote", quorum=0.9)(texts) == (0.0,) * 4
        score = reward("novelty").score(texts, question="How many?")
        assert score.vote.share == 0.5 and min(score.rewards) == -1.0

    def test_of_ones_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "mine.py").write_text("def f(group):\n    return [float(len(r)) for r in group.responses]\n")
        monkeypatch.chdir(tmp_path)
        assert reward("mine.py:f")(["a", "bc"]) == (1.0, 2.0)

    @pytest.mark.parametrize(
        ("name", "settings", "told"),
        [
            ("start_vote", {}, "needs a model"),
            ("ground_truth", {}, r"mmupt\.grade"),
            ("majority", {}, "did you mean"),
            ("soft_vote", {"quorum": 2.0}, "quorum"),
            ("majority_vote", {"entropy_band": [0, 1]}, "entropy_band is read by soft_vote"),
            ("majority_vote", {"extract": "box"}, "extract"),
        ],
    )
    def test_mistakes(self, name: str, settings: dict[str, Any], told: str) -> None:
        with pytest.raises(MmuptError, match=told):
            reward(name, **settings)


TINY: dict[str, Any] = {
    "world": {"sft_size": 16, "rl_size": 8, "unlabeled_size": 8, "test_size": 4},
    "stages.sft": {"epochs": 1, "batch_size": 8},
    "stages.rl": {"steps": 1, "prompts_per_step": 2},
    "stages.upt": {"steps": 1, "prompts_per_step": 2, "guard": {"enabled": False}},
    "rollout": {"group_size": 2, "max_new_tokens": 6},
    "evaluation": {"samples": 2, "max_new_tokens": 6, "start": False},
}


class TestRuns:
    def test_a_recipe(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        done = run("demo", set={**TINY, "seed": 3}, run_dir=tmp_path / "run", quiet=True)
        assert isinstance(done, Run) and capsys.readouterr().out == ""
        assert [m["stage"] for m in done.metrics] == ["sft", "sft", "rl", "upt"]
        assert [r["stage"] for r in done.results] == ["sft", "rl", "upt"]
        assert done.model is not None and done.model.parent.name == "upt" and done.report.exists()
        groups = done.groups("upt", step=1)
        assert groups and all(len(g["responses"]) == len(g["rewards"]) for g in groups)  # type: ignore[arg-type]
        with pytest.raises(MmuptError, match="no groups of this step"):
            done.groups("upt", step=9)
        with pytest.raises(MmuptError, match=r"resume=True.*overwrite=True"):
            run("demo", set={**TINY, "seed": 3}, run_dir=tmp_path / "run")
        again = run("demo", set={**TINY, "seed": 3}, run_dir=tmp_path / "run", resume=True, quiet=True)
        assert again.metrics == done.metrics

        alone = run("demo", stage="upt", model=done.model, set=TINY, run_dir=tmp_path / "alone", quiet=True)
        assert [m["stage"] for m in alone.metrics] == ["upt"]

        measured = evaluate(done.model, "world:test", samples=2, out=tmp_path / "eval", quiet=True, set={
            "world": TINY["world"], "evaluation.max_new_tokens": 6, "prompt": {"suffix": "", "min_pixels": 3136,
                                                                               "max_pixels": 3136}})  # fmt: skip
        assert measured.results[0]["n"] == 4 and "mean@2" in measured.results[0]
        assert measured.model is None

        asked = probe("demo", prompts=4, samples=2, set={**TINY, "model.path": str(done.model)})
        assert asked.report.advice.verdict and asked.as_json()["asked"] == 4

    def test_where_a_run_goes_by_default(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The folder of a stage alone is its own: it must not take the recipe's."""
        import mmupt.pipeline

        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(mmupt.pipeline, "run_recipe", lambda recipe, **_: Path(recipe.run_dir))
        assert run("demo").folder == Path("runs/demo")
        assert run("demo", set={"run_dir": "here"}).folder == Path("here")
        assert run("demo", stage="upt").folder == Path("runs/demo-upt")
        assert run(load_recipe("demo", ["run_dir=there"])).folder == Path("there")
        assert evaluate("m", "d").folder == Path("runs/eval")

    def test_values_of_every_kind_reach_the_recipe(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        import mmupt.pipeline

        seen: list[Any] = []
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(mmupt.pipeline, "run_recipe", lambda recipe, **_: seen.append(recipe) or Path("x"))
        terms = [{"name": "soft_vote", "weight": 0.5}, {"name": "novelty"}]
        run("demo", set={
            "description": 'a "quoted" = text\nwith lines', "stages.upt.optimizer": {"lr": 1e-7},
            "stages.upt.reward": {"name": "combined", "terms": terms}, "stages.upt.guard.enabled": False,
            "algo.dual_clip": None, "model.path": Path("true"),
        })  # fmt: skip
        (recipe,) = seen
        upt = recipe.stages[2]
        assert recipe.description == 'a "quoted" = text\nwith lines' and recipe.model.path == "true"
        assert (upt.optimizer.lr, upt.optimizer.schedule) == (1e-7, "linear")  # what is not named stays
        assert [(t.name, t.weight) for t in upt.reward.terms] == [("soft_vote", 0.5), ("novelty", 1.0)]
        assert upt.guard.enabled is False and upt.algo.dual_clip is None

    @pytest.mark.parametrize(
        ("call", "told"),
        [
            (lambda: run("demmo"), "did you mean `demo`"),
            (lambda: run("demo", set={"sed": 1}), "did you mean `seed`"),
            (lambda: run("demo", set={"seed": object()}), "no recipe can hold"),
            (lambda: run("demo", stage="none"), "choose one of sft, rl, upt"),
            (lambda: run("demo", resume=True, overwrite=True), "one of them"),
            (lambda: run("mini/loop", stage="upt-2"), "cannot run alone"),
            (lambda: run(load_recipe("demo"), set={"seed": 1}), "while it is loaded"),
            (lambda: evaluate("m"), "either data or benchmarks"),
        ],
    )
    def test_mistakes(self, call: Any, told: str) -> None:
        with pytest.raises(MmuptError, match=told):
            call()

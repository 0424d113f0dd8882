"""`mmupt probe` on the micro recipe with a real, tiny model: what it says, and that it reads no labels."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mmupt import sources
from mmupt.cli import app
from mmupt.errors import ConfigError, DataError
from mmupt.probing import choose_upt_stage, probe_stage, stage_labels
from mmupt.recipe import load_recipe
from mmupt.runtime.files import to_json

Micro = Callable[..., Path]


@pytest.fixture
def label_files(questions: Path) -> dict[str, Path]:
    """The same questions with their answers as they are, shuffled, deleted, and replaced."""
    rows = [json.loads(line) for line in questions.read_text().split("\n") if line]
    answers = [row["answer"] for row in rows]
    random.Random(0).shuffle(answers)
    labels = ("answer", "answer_kind", "unit", "solution", "meta")
    variants = {
        "as_is": rows,
        "shuffled": [{**row, "answer": a} for row, a in zip(rows, answers, strict=True)],
        "deleted": [{k: v for k, v in row.items() if k not in labels} for row in rows],
        "absurd": [{**row, "answer": {"not": ["even", "a", "string"]}} for row in rows],
    }
    files = {}
    for name, variant in variants.items():
        files[name] = questions.with_name(f"{name}.jsonl")
        files[name].write_text("\n".join(json.dumps(row) for row in variant))
    return files


def found(recipe: Path, *overrides: str, with_labels: bool = False, **options: Any) -> dict[str, Any]:
    loaded = load_recipe(str(recipe), overrides)
    stage = choose_upt_stage(loaded, None)
    labels = stage_labels(loaded, stage) if with_labels else None
    told: dict[str, Any] = json.loads(to_json(probe_stage(loaded, stage, labels=labels, **options).as_json()))
    return told


def test_no_label_is_read(micro: Micro, label_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers deleted, shuffled or replaced: the same to the last bit, and with `--labels` only `truth` is added."""
    recipe = micro()
    told = {name: found(recipe, f"stages.upt.data.path={file}") for name, file in label_files.items()}
    assert len({to_json(each) for each in told.values()}) == 1
    asked = told["as_is"]
    assert asked["asked"] == 12 and asked["samples"] == 4 and asked["view"]["prompts"] == 12
    assert 0 < asked["share"] < 1, "the model answers something, and not always the same"

    for name in ("as_is", "shuffled"):
        labeled = found(recipe, f"stages.upt.data.path={label_files[name]}", with_labels=True)
        truth = labeled.pop("truth")
        assert labeled == asked and truth["prompts"] == 12

    def refuse(*args: object) -> None:
        raise AssertionError("labels are being read")

    for module, name in ((sources, "labeled_rows"), (sources, "load_labeled"), (sources, "world_split")):
        monkeypatch.setattr(module, name, refuse)
    assert found(recipe, f"stages.upt.data.path={label_files['as_is']}") == asked
    assert found(recipe, prompts=6)["asked"] == 6  # the world's own unlabeled questions
    with pytest.raises(AssertionError, match="labels are being read"):
        found(recipe, with_labels=True)


def test_labels_that_are_not_there(micro: Micro, label_files: dict[str, Path]) -> None:
    with pytest.raises(DataError):
        found(micro(), f"stages.upt.data.path={label_files['deleted']}", with_labels=True)


def test_fewer_prompts_more_samples_another_seed(micro: Micro) -> None:
    recipe = micro()
    few, more = found(recipe, prompts=5), found(recipe, prompts=8)
    assert [p["id"] for p in few["prompts"]] == [p["id"] for p in more["prompts"]][:5]
    again = found(recipe, prompts=5)
    assert again == few
    assert {p["id"] for p in found(recipe, "seed=6", prompts=5)["prompts"]} != {p["id"] for p in few["prompts"]}
    assert found(recipe, prompts=2, samples=7)["samples"] == 7


def test_which_stage(micro: Micro) -> None:
    loaded = load_recipe(str(micro()))
    assert choose_upt_stage(loaded, None).name == choose_upt_stage(loaded, "upt").name == "upt"
    with pytest.raises(ConfigError, match=r'no stage "rl" of kind "upt"; choose one of upt'):
        choose_upt_stage(loaded, "rl")
    only = loaded.model_copy(update={"stages": loaded.stages[:2]})
    with pytest.raises(ConfigError, match="there is no vote to probe"):
        choose_upt_stage(only, None)


class TestTheCommand:
    def test_says_it_in_words(self, micro: Micro) -> None:
        done = CliRunner().invoke(app, ["probe", str(micro()), "--prompts", "6", "--labels"])
        assert done.exit_code == 0, done.output
        for said in (
            "upt: 6 questions, 4 answers each",
            "two halves of a group agree on the majority",
            "another view of the picture keeps the majority",
            "predicted gain of a run: ",
            "with the labels of 6 questions",
            "recommendation: ",
            "sft, rl would train it first",
        ):
            assert said in done.stdout, said
        without = CliRunner().invoke(app, ["probe", str(micro()), "--prompts", "6"])
        assert "with the labels" not in without.stdout

    def test_json_is_all_there_is_on_standard_output(self, micro: Micro) -> None:
        done = CliRunner().invoke(app, ["probe", str(micro()), "--prompts", "6", "--json"])
        told = json.loads(done.stdout)
        assert (told["recipe"], told["stage"], told["asked"]) == ("micro", "upt", 6)
        assert told["advice"] in ("go", "go with a band", "don't") and "truth" not in told
        assert "asking" in done.stderr

    def test_nothing_is_left(self, micro: Micro, tmp_path: Path) -> None:
        recipe = micro()
        before = sorted(tmp_path.rglob("*"))
        assert CliRunner().invoke(app, ["probe", str(recipe), "--prompts", "2"]).exit_code == 0
        assert sorted(tmp_path.rglob("*")) == before

    @pytest.mark.parametrize("arguments", [["--prompts", "0"], ["--samples", "1"]])
    def test_mistakes(self, micro: Micro, arguments: list[str]) -> None:
        assert CliRunner().invoke(app, ["probe", str(micro()), *arguments]).exit_code == 2

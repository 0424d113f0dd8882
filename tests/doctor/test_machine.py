"""What the doctor says of machine, libraries, memory and parts; and the command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from transformers import Qwen2_5_VLForConditionalGeneration

import mmupt.doctor.memory as memory_module
import mmupt.doctor.versions as versions_module
from mmupt.cli import main
from mmupt.doctor.case import Case
from mmupt.doctor.finding import Finding
from mmupt.doctor.machine import machine
from mmupt.doctor.memory import Sizes, memory, read_sizes, stage_bytes
from mmupt.doctor.parts import parts
from mmupt.doctor.versions import versions
from mmupt.models.settings import LoraSettings, ModelSettings
from mmupt.train.settings import GrpoStage

Make = Callable[..., Case]


def wrong(findings: Any) -> list[Finding]:
    return [finding for finding in findings if finding.level != "ok"]


def test_this_machine_is_fine() -> None:
    assert wrong(machine(Case())) == []


def test_a_device_that_is_not_there(make_case: Make) -> None:
    (found,) = wrong(machine(make_case(model={"device": "cuda:63"})))
    assert found.level == "error" and "cuda:63" in found.text


def test_libraries_out_of_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions_module, "requires", lambda name: [
        "numpy>=1.26", "numpy>=999", "nothing-like-this>=1", 'nothing-like-that>=1; extra == "vllm"',
        'pillow<1; extra == "x"',
    ])  # fmt: skip
    monkeypatch.setattr(versions_module, "_does_not_load", lambda name: None)
    found = wrong(versions(Case()))
    assert [(f.level, f.fix) for f in found] == [
        ("error", 'pip install "numpy>=999"'),
        ("error", 'pip install "nothing-like-this>=1"'),
        ("warning", 'pip install "pillow<1"'),
    ]
    assert Requirement("numpy>=1").name == "numpy"


def test_a_torchvision_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions_module, "find_spec", lambda name: object())
    monkeypatch.setattr(versions_module, "requires", lambda name: [])
    (found,) = wrong(versions(Case()))  # it is not installed here: the import fails as a broken one would
    assert found.level == "error" and "does not load (ModuleNotFoundError" in found.text
    assert versions_module._does_not_load("json") is None


class TestMemory:
    def test_parameters_are_counted_from_the_files(self, tiny_folder: Path) -> None:
        sizes = read_sizes(ModelSettings(path=str(tiny_folder)))
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(tiny_folder)
        assert sizes is not None and sizes.parameters == sum(p.numel() for p in model.parameters())
        text = model.config.text_config
        assert (sizes.hidden, sizes.layers, sizes.vocabulary) == (
            text.hidden_size, text.num_hidden_layers, text.vocab_size,
        )  # fmt: skip

    def test_a_model_that_is_not_here(self, make_case: Make) -> None:
        (found,) = wrong(memory(make_case(model={"path": "nobody/nothing-of-this-name"})))
        assert found.level == "warning" and "not on this machine" in found.text

    def test_what_a_stage_needs(self, make_case: Make) -> None:
        """Seven billion parameters, by hand: 16 bytes each, a frozen copy, the logits, a row's activations."""
        recipe = make_case(kind="upt").recipe
        assert recipe is not None
        stage = recipe.stages[0]
        assert isinstance(stage, GrpoStage)
        seven = Sizes(7_000_000_000, 3584, 28, 152_064)
        whole = ModelSettings(path="m", dtype="bfloat16")
        row = 16_384 * 3584 * 28
        logits = 8 * 1024 * 152_064
        assert stage_bytes(stage, whole, seven) == pytest.approx(20 * 7e9 + 34 * row + logits)
        saving = whole.model_copy(update={"gradient_checkpointing": True, "lora": LoraSettings()})
        assert stage_bytes(stage, saving, seven) == pytest.approx(4 * 7e9 + 0.02 * 12 * 7e9 + 2 * row + logits)

    @pytest.mark.parametrize(("there", "level"), [(10**15, "ok"), (10**6, "error")])
    def test_against_what_there_is(
        self, make_case: Make, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, there: int, level: str
    ) -> None:
        monkeypatch.setattr(memory_module, "free_memory", lambda: there)
        (found,) = memory(make_case(model={"path": str(tiny_folder), "device": "cpu"}))
        assert found.level == level and "stage learn needs about" in found.text


def test_parts_that_are_missing(make_case: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mmupt.runtime.sinks.log as sink_log

    monkeypatch.setattr(sink_log, "find_spec", lambda name: None)
    case = make_case(kind="upt", model={"path": str(tmp_path / "no-model")}, sinks={"tensorboard": True},
                     reward={"name": "gone.py:f"})  # fmt: skip
    told = [finding.text for finding in wrong(parts(case))]
    assert len(told) == 3
    for text, word in zip(told, ("no-model", "mmupt[tensorboard]", "gone.py"), strict=True):
        assert word in text


class TestCommand:
    @pytest.fixture
    def call(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
        def _call(*arguments: str) -> int:
            monkeypatch.setattr(versions_module, "requires", lambda name: [])
            monkeypatch.setattr(sys, "argv", ["mmupt", "doctor", *arguments])
            with pytest.raises(SystemExit) as stop:
                main()
            return int(stop.value.code or 0)

        return _call

    def test_a_recipe_that_is_fine(
        self, call: Callable[..., int], make_case: Make, tmp_path: Path, capsys: Any
    ) -> None:
        make_case()
        assert call(str(tmp_path / "examined.toml")) == 0
        out = capsys.readouterr().out
        assert "nothing to fix" in out and "6 rows of" in out
        assert not (tmp_path / "run").exists()

    def test_warnings_and_errors(self, call: Callable[..., int], make_case: Make, tmp_path: Path, capsys: Any) -> None:
        recipe = str(tmp_path / "examined.toml")
        make_case(lambda r: r[1].pop("question"))
        assert call(recipe) == 2
        assert "ERROR" in capsys.readouterr().out
        assert call(recipe, "--set", "data.bad_rows=skip") == 0
        assert "0 to fix before a run, 1 to think about" in capsys.readouterr().out
        assert call(recipe, "--set", "data.bad_rows=skip", "--strict", "--json") == 2
        told = json.loads(capsys.readouterr().out)
        assert (told["recipe"], told["errors"], told["warnings"]) == ("examined", 0, 1)

    def test_the_machine_alone(self, call: Callable[..., int], capsys: Any) -> None:
        assert call("--json") == 0
        assert {f["check"] for f in json.loads(capsys.readouterr().out)["findings"]} == {"machine", "versions"}

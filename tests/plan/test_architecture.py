"""Parameter counts against real models of transformers, number by number."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from transformers import (
    AutoModelForCausalLM,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen3Config,
)

from mmupt.errors import ConfigError, ModelError
from mmupt.models.families.qwen_vl import QwenVL
from mmupt.models.flops import Trained
from mmupt.models.loading import LoadedModel
from mmupt.models.lora import attach_adapter
from mmupt.models.settings import LoraSettings, ModelSettings
from mmupt.plan.architecture import PUBLIC, Architecture, architecture, read_architecture

TEXT = {
    "vocab_size": 300, "hidden_size": 64, "intermediate_size": 144, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512,
}  # fmt: skip


def vl_config(tied: bool) -> Qwen2_5_VLConfig:
    return Qwen2_5_VLConfig(
        text_config={
            **TEXT,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4},
        },
        vision_config={
            "depth": 2, "hidden_size": 48, "intermediate_size": 80, "num_heads": 4, "out_hidden_size": 64,
            "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 112,
            "fullatt_block_indexes": [1],
        },
        tie_word_embeddings=tied,
    )  # fmt: skip


def on_paper(config: Any) -> Architecture:
    return architecture(json.loads(config.to_json_string()), "test")


def count(parameters: Any) -> int:
    return sum(p.numel() for p in parameters)


@pytest.mark.parametrize("tied", [True, False])
def test_every_part_of_a_vision_language_model(tied: bool) -> None:
    model: Any = Qwen2_5_VLForConditionalGeneration(vl_config(tied))
    found = on_paper(vl_config(tied))
    language = model.model.language_model
    assert found.parameters == count(model.parameters())
    assert found.layer_parameters == count(language.layers[0].parameters())
    assert found.block_parameters == count(model.model.visual.blocks[0].parameters())
    assert found.projector_parameters == count(model.model.visual.merger.parameters())
    in_layers = count(language.layers.parameters()) + count(model.model.visual.blocks.parameters())
    assert found.root_parameters == count(model.parameters()) - in_layers
    for n in range(3):
        for frozen in combinations(("vision", "projector", "language"), n):
            prefixes = tuple(prefix for part in frozen for prefix in QwenVL.parts[part])
            left = [p for name, p in model.named_parameters() if not (prefixes and name.startswith(prefixes))]
            settings = ModelSettings(path="x", freeze=frozen)
            assert found.trained_parameters(settings) == count(left)
            assert found.trained(settings) == Trained(
                *("none" if part in frozen else "weights" for part in ("vision", "projector", "language"))
            )


@pytest.mark.parametrize("config", [Qwen2Config(**TEXT), Qwen3Config(**TEXT, head_dim=32)])
@pytest.mark.parametrize("tied", [True, False])
def test_text_models(config: Any, tied: bool) -> None:
    config.tie_word_embeddings = tied
    found = on_paper(config)
    assert found.parameters == count(AutoModelForCausalLM.from_config(config).parameters())
    assert not found.reads_pictures and found.group(9, (4, 4), 10_000).pictures == ()


@pytest.mark.parametrize("targets", [LoraSettings().targets, ("q_proj", "down_proj"), ("qkv", "v_proj")])
def test_an_adapter(tiny: LoadedModel, tiny_folder: Path, targets: tuple[str, ...]) -> None:
    settings = ModelSettings(path="x", lora=LoraSettings(rank=5, targets=targets))
    assert settings.lora is not None
    found = read_architecture(str(tiny_folder))
    adapted = attach_adapter(tiny, settings.lora, seed=0)
    trained = [p for p in adapted.model.parameters() if p.requires_grad]
    assert found.trained_parameters(settings) == count(trained)
    if "down_proj" in targets:  # peft finds the MLPs of the tower as well
        assert (
            found.trained(settings)
            == Trained.of(adapted.model, tiny.family.parts)
            == Trained("adapter", "none", "adapter")
        )


def test_unknown_targets() -> None:
    settings = ModelSettings(path="x", lora=LoraSettings(targets=("q_proj", "wild")))
    with pytest.raises(ConfigError, match="does not know how large wild is"):
        on_paper(vl_config(True)).trained_parameters(settings)


def test_public_models_have_the_parameters_they_are_published_with() -> None:
    """Totals of the safetensors files on the hub."""
    published = {"3B": 3_754_622_976, "7B": 8_292_166_656, "32B": 33_452_718_336, "72B": 73_410_777_344}
    assert {n.split("-")[2]: read_architecture(n).parameters for n in PUBLIC} == published


def test_both_layouts_of_a_configuration(tmp_path: Path) -> None:
    nested = json.loads(vl_config(False).to_json_string())
    flat = {**nested.pop("text_config"), **nested, "model_type": "qwen2_5_vl"}
    (tmp_path / "config.json").write_text(json.dumps(flat))
    assert (
        read_architecture(str(tmp_path))
        == read_architecture(str(tmp_path / "config.json"))
        == on_paper(vl_config(False))
    )


def test_a_picture_is_cut_into_about_its_area() -> None:
    found = read_architecture("Qwen/Qwen2.5-VL-7B-Instruct")
    for pixels in (3136, 100_000, 1_204_224):
        _, rows, columns = found.picture_grid(pixels)
        assert rows % 2 == columns % 2 == 0 and 0.8 * pixels < rows * columns * 14**2 <= pixels


def test_the_worlds_models() -> None:
    assert read_architecture("world:tiny").shape.hidden == 128


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"model_type": "gemma3"}', "'gemma3' are not written down for plans; known are qwen2_5_vl"),
        ('{"model_type": "qwen2", "hidden_size": 8}', "a qwen2 lacks 'num_attention_heads'"),
        ('{"model_type": "qwen2_5_vl", "vision_config": {}}', "a qwen2_5_vl lacks"),
        ("[]", "no JSON object"),
        ("{", "is no configuration of a model"),
    ],
)
def test_configurations_that_are_none(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match=message):
        read_architecture(str(tmp_path))


def test_no_such_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"neither a folder or file here .* --model-config"):
        read_architecture(str(tmp_path / "nothing"))

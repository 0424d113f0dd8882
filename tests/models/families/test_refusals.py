"""What a folder must hold to be a model that mmupt knows, and what is said where it does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from mmupt.data.settings import PromptSettings
from mmupt.errors import DataError, ModelError
from mmupt.models.encoding import PromptEncoder
from mmupt.models.families import FAMILIES, files
from mmupt.models.loading import load_family, load_model
from mmupt.models.settings import ModelSettings
from mmupt.types import ImageSource, Prompt


@pytest.fixture
def changed(family_named: Callable[[str], Any], tmp_path: Path) -> Callable[..., str]:
    """A copy of a tiny model's folder with other values in one of its files."""

    def copy(name: str, file: str, *keys: str, **values: Any) -> str:
        folder = shutil.copytree(family_named(name).folder, tmp_path / f"{name}-changed")
        whole = json.loads((folder / file).read_text())
        table = whole
        for key in keys:
            table = table[key]
        table.update(values)
        (folder / file).write_text(json.dumps(whole))
        return str(folder)

    return copy


@pytest.mark.parametrize("model_type", ["llama", "not_even_in_transformers", "internvl_chat", None])
def test_an_unknown_architecture_is_refused_with_all_that_are_known(
    changed: Callable[..., str], model_type: str | None
) -> None:
    path = changed("qwen3", "config.json", model_type=model_type)
    for load in (load_family, lambda *given: load_model(*given, torch.device("cpu"))):
        with pytest.raises(ModelError) as caught:
            load(path, ModelSettings(path=path))
        message = str(caught.value)
        assert message.startswith(f"{path}: architecture {model_type!r} is not known.")
        for name, known in FAMILIES.items():
            assert f"{known.name} ({name}, {known.model_class})" in message
        assert "docs/models.md" in message
        assert ("ends in -hf" in message) == (model_type == "internvl_chat")


@pytest.mark.parametrize(
    ("name", "file", "keys", "values", "said"),
    [
        (
            "qwen2_vl",
            "config.json",
            (),
            {"image_token_id": 3},
            "do not belong together: the picture placeholder is id 3",
        ),
        ("qwen3", "config.json", (), {"vocab_size": 100}, "do not belong together: the tokenizer has"),
        (
            "qwen2",
            "config.json",
            (),
            {"layer_types": ["full_attention"] * 2 + ["chunked_attention"]},
            "chunked_attention",
        ),
        ("gemma3", "config.json", ("text_config",), {"use_bidirectional_attention": True}, "seen both ways"),
        ("gemma3", "preprocessor_config.json", (), {"do_pan_and_scan": True}, "do_pan_and_scan"),
        ("llava_onevision", "config.json", (), {"vision_feature_select_strategy": "default"}, '"full" only'),
        ("llava_onevision", "config.json", (), {"image_grid_pinpoints": [[42, 84]]}, "image_grid_pinpoints differ"),
        ("internvl", "config.json", ("vision_config",), {"image_size": [56, 28]}, "is not a square"),
    ],
)
def test_what_packed_rows_would_get_wrong_is_refused(
    changed: Callable[..., str], name: str, file: str, keys: tuple[str, ...], values: dict[str, Any], said: str
) -> None:
    path = changed(name, file, *keys, **values)
    with pytest.raises(ModelError, match=said):
        load_family(path, ModelSettings(path=path))


def test_without_a_chat_template_nothing_is_made_up(family_named: Callable[[str], Any], tmp_path: Path) -> None:
    folder = shutil.copytree(family_named("qwen3").folder, tmp_path / "bare")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template"):
        load_family(str(folder), ModelSettings(path="x"))


def test_a_picture_for_a_text_model_is_refused(family_named: Callable[[str], Any], tmp_path: Path) -> None:
    """Before the run, from the size alone, and when it is read."""
    Image.fromarray(np.zeros((40, 40, 3), dtype=np.uint8)).save(tmp_path / "p.png")
    prompt = Prompt("row-1", "<image>Add.", (ImageSource(path=str(tmp_path / "p.png")),))
    encoder = PromptEncoder(family_named("qwen2").load().family, PromptSettings())
    for attempt in (encoder, encoder.check_length):
        with pytest.raises(DataError, match=r"prompt row-1: the model reads text alone"):
            attempt(prompt)
    with_system = PromptEncoder(encoder.family, PromptSettings(system="Be brief."))
    assert "Be brief." in encoder.family.tokenizer.decode(with_system(Prompt("row-2", "Add.")).token_ids)


def test_a_transformers_without_pillow_processors_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"Nova: .* cannot read its pictures through Pillow .*pip install"):
        files.pil_processor("Nova", "gemma3.image_processing_pil_gemma3", "NovaImageProcessorPil")
    with pytest.raises(ModelError, match="pip install"):
        files.pil_processor("Nova", "nova.image_processing_pil_nova", "NovaImageProcessorPil")


def test_gemma_takes_newlines_for_text(family_named: Callable[[str], Any]) -> None:
    """They are added tokens of its tokenizer, as markup is; neither is reserved."""
    tiny = family_named("gemma3")
    family = tiny.load().family
    assert "\n\n\n\n" in family.tokenizer.get_added_vocab()
    family.encode(tiny.messages("Read <table>\n\n\n\nand add.", 0), [])
    for token in ("<start_of_turn>", "<image_soft_token>", "<end_of_turn>", "<start_of_image>"):
        with pytest.raises(DataError, match="reserves"):
            family.encode(tiny.messages(f"Read {token}", 0), [])


def test_pixel_limits_bound_the_tiles(family_named: Callable[[str], Any]) -> None:
    """Prompt lengths under more and more pixels: they grow to what the model's own processor would do."""
    from mmupt.models.families.base import PixelLimits

    for name, expected in (("internvl", 4), ("idefics3", 9), ("smolvlm", 9)):
        tiny = family_named(name)
        family = tiny.load().family
        (image,) = tiny.images(np.random.default_rng(0), [(200, 190)])
        tiles = []
        for area in (100, 4 * 56**2, 9 * 56**2, 100 * 56**2):
            picture = family.picture(image, PixelLimits(1, area))
            tiles.append(len(picture.tensors["pixel_values"]))
        assert tiles == sorted(tiles) and tiles[0] == 1 and tiles[1] == 4 + 1 and tiles[-1] == expected + 1, name
    gemma = family_named("gemma3").load().family
    (image,) = family_named("gemma3").images(np.random.default_rng(0), [(200, 190)])
    pixels = [gemma.picture(image, PixelLimits(1, area)).tensors["pixel_values"] for area in (100, 10**6)]
    assert torch.equal(*pixels)

"""What the Qwen-VL family tells the rest of the house, against transformers' own code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from mmupt.data.images import encode_png
from mmupt.data.settings import PromptSettings
from mmupt.errors import DataError, ModelError
from mmupt.models.encoding import PromptEncoder, PromptTooLong
from mmupt.models.families.base import PixelLimits
from mmupt.models.loading import LoadedModel, load_model, save_model
from mmupt.models.settings import ModelSettings
from mmupt.types import EncodedPrompt, ImageSource, Prompt
from mmupt.world.tiny_model import build_tiny_model

CPU = torch.device("cpu")


@pytest.mark.parametrize("sizes", [[], [(56, 56)], [(84, 112), (140, 28), (56, 56)]])
def test_positions_are_transformers(
    tiny: LoadedModel, encode: Callable[..., EncodedPrompt], sizes: list[tuple[int, int]]
) -> None:
    prompt = encode(np.random.default_rng(0), "Add all dice.", sizes)
    types = (prompt.token_ids == tiny.family.image_id).int()[None]  # type: ignore[attr-defined]
    grid = torch.cat([picture.tensors["image_grid_thw"] for picture in prompt.pictures]) if sizes else None
    expected, delta = tiny.model.model.get_rope_index(prompt.token_ids[None], types, grid)  # type: ignore[union-attr, operator]
    assert torch.equal(prompt.positions_3P, expected[:, 0])
    assert prompt.next_position == prompt.length + int(delta)


sides = st.integers(20, 400)


@given(st.lists(st.tuples(sides, sides), max_size=3))
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
def test_length_is_known_without_pixels(tiny: LoadedModel, sizes: list[tuple[int, int]]) -> None:
    images = [Image.new("RGB", size) for size in sizes]
    content = [*({"type": "image"} for _ in images), {"type": "text", "text": "Add all dice."}]
    messages = [{"role": "user", "content": content}]
    limits = PixelLimits(56 * 56, 40_000)
    pictures = [tiny.family.picture(image, limits) for image in images]
    assert tiny.family.count_tokens(messages, sizes, limits) == tiny.family.encode(messages, pictures).length


def test_vision_tensors_are_as_many_as_placeholders(tiny: LoadedModel, encode: Callable[..., EncodedPrompt]) -> None:
    prompt = encode(np.random.default_rng(0), "?", [(56, 56), (112, 84)])
    merged = int((prompt.token_ids == tiny.family.image_id).sum())  # type: ignore[attr-defined]
    assert [len(picture.tensors["pixel_values"]) for picture in prompt.pictures] == [4 * 4, 12 * 4]
    assert merged == 4 + 12


def test_a_key_names_what_the_vision_tower_reads(tiny: LoadedModel) -> None:
    """Equal keys, equal tensors; and whatever changes the tensors changes the key."""
    pixels = np.random.default_rng(0).integers(0, 255, (84, 168, 3), dtype=np.uint8)
    other = pixels.copy()
    other[40, 40, 0] ^= 128
    images = [Image.fromarray(array) for array in (pixels, pixels.copy(), other, pixels.reshape(168, 84, 3))]
    wide, narrow = PixelLimits(3136, 50_000), PixelLimits(3136, 6000)
    made = [tiny.family.picture(image, limits) for image in images for limits in (wide, narrow)]
    for a in made:
        for b in made:
            pairs = [(a.tensors[name], b.tensors[name]) for name in ("pixel_values", "image_grid_thw")]
            assert (a.key == b.key) == all(torch.equal(x, y) for x, y in pairs)
    assert len({picture.key for picture in made}) == 6


@pytest.mark.parametrize("token", ["<|image_pad|>", "<|im_end|>", "<|vision_start|>"])
def test_a_reserved_token_in_a_question_is_refused(tiny: LoadedModel, token: str) -> None:
    prompt = Prompt("row-3", f"What is {token}?")
    with pytest.raises(DataError, match=r"prompt row-3: .*reserves"):
        PromptEncoder(tiny.family, PromptSettings())(prompt)


def test_a_long_prompt_is_refused_and_never_cut(tiny: LoadedModel) -> None:
    picture = ImageSource(data=encode_png(Image.new("RGB", (280, 280))))
    prompt = Prompt("row-9", "<image>Add all dice.", (picture,))
    encoder = PromptEncoder(tiny.family, PromptSettings(max_tokens=50, min_pixels=3136, max_pixels=100_000))
    for attempt in (encoder, encoder.check_length):
        with pytest.raises(
            PromptTooLong, match=r"row-9 has 1\d\d tokens .* prompt.max_tokens = 50; .*prompt.max_pixels"
        ):
            attempt(prompt)


def test_saved_and_loaded_again_it_is_the_same_model(tiny: LoadedModel, tmp_path: Path) -> None:
    save_model(tiny, tmp_path / "again")
    again = load_model(str(tmp_path / "again"), ModelSettings(path="x"), CPU)
    for (name, a), (other, b) in zip(tiny.model.named_parameters(), again.model.named_parameters(), strict=True):
        assert name == other and torch.equal(a, b)
    assert again.family.tokenizer.get_vocab() == tiny.family.tokenizer.get_vocab()
    assert again.family.tokenizer.chat_template == tiny.family.tokenizer.chat_template


def test_any_text_survives_the_tokenizer(tiny: LoadedModel) -> None:
    text = 'Straße  π ≈ 3.14\n\t"\\frac{1}{2}" 漢字 \U0001f600 |x|<5'
    assert tiny.family.tokenizer.decode(tiny.family.tokenizer(text)["input_ids"]) == text


def test_a_tokenizer_of_another_model_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    import shutil

    other = build_tiny_model(tmp_path / "other", [f"word{i} " * 3 for i in range(400)], seed=0)
    mixed = shutil.copytree(tiny_folder, tmp_path / "mixed")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(other / name, mixed / name)
    with pytest.raises(ModelError, match="do not belong together"):
        load_model(str(mixed), ModelSettings(path="x"), CPU)


def test_a_model_that_is_not_there_is_one_clear_message(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model 'org/none' \(neither a folder here nor reachable"):
        load_model("org/none", ModelSettings(path="org/none"), CPU)


def test_damaged_weights_are_one_clear_message(tiny_folder: Path, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(tiny_folder, tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"cut' \(folder\) could not be loaded"):
        load_model(str(folder), ModelSettings(path="x"), CPU)


@pytest.mark.parametrize(
    ("freeze", "prefix"), [(("vision",), "model.visual.blocks"), (("language",), "model.language")]
)
def test_frozen_parts_have_no_gradient(tiny_folder: Path, freeze: tuple[str, ...], prefix: str) -> None:
    model = load_model(str(tiny_folder), ModelSettings(path="x", freeze=freeze), CPU).model  # type: ignore[arg-type]
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert any(name.startswith(prefix) for name in frozen)
    assert any(p.requires_grad for p in model.parameters())


def test_parts_cover_the_whole_model(tiny: LoadedModel) -> None:
    prefixes = tuple(p for part in tiny.family.parts.values() for p in part)
    assert all(name.startswith(prefixes) for name, _ in tiny.model.named_parameters())


def test_freezing_everything_is_an_error(tiny_folder: Path) -> None:
    settings = ModelSettings(path="x", freeze=("vision", "projector", "language"))
    with pytest.raises(ModelError, match="nothing to train"):
        load_model(str(tiny_folder), settings, CPU)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_picture_on_its_side_is_as_long_before_as_after_decoding(
    tiny: LoadedModel, tmp_path: Path, orientation: int
) -> None:
    """The length is checked from the size as stored; encoding turns the picture upright first."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (300, 90)).save(tmp_path / "turned.jpg", exif=exif)
    prompt = Prompt("turned", "<image>?", (ImageSource(path=str(tmp_path / "turned.jpg")),))
    limits = {"min_pixels": 3136, "max_pixels": 30_000}
    length = PromptEncoder(tiny.family, PromptSettings.model_validate(limits))(prompt).length
    PromptEncoder(tiny.family, PromptSettings.model_validate({**limits, "max_tokens": length})).check_length(prompt)
    with pytest.raises(PromptTooLong, match=f"has {length} tokens"):
        PromptEncoder(tiny.family, PromptSettings.model_validate({**limits, "max_tokens": length - 1})).check_length(
            prompt
        )

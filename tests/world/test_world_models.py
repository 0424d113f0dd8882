"""The medium model: its size, that it learns, its tokenizer, and packing with the pictures of the larger kinds."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from mmupt.algo.packing import PackItem, pack
from mmupt.data.settings import PromptSettings
from mmupt.errors import ModelError
from mmupt.models.encoding import PromptEncoder
from mmupt.models.forward import policy_logprobs
from mmupt.models.loading import LoadedModel
from mmupt.types import LabeledPrompt
from mmupt.world.kinds import MEDIUM_KINDS
from mmupt.world.settings import WorldSettings
from mmupt.world.splits import world_split
from mmupt.world.texts import world_texts
from mmupt.world.tiny_model import build_world_model

PROMPT = PromptSettings(suffix="", min_pixels=3136, max_pixels=50_176)
WORLD = WorldSettings(mix="medium", sft_size=60, wrong_readings=0.02)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The medium model in the place of the tiny one, so that the fixtures `tiny` and `plain` are of it."""
    return build_world_model("world:medium", tmp_path_factory.mktemp("medium"), world_texts(WORLD), seed=0)


@pytest.fixture(scope="module")
def rows() -> list[LabeledPrompt]:
    return world_split(WORLD, "sft")


def items(model: LoadedModel, rows: list[LabeledPrompt], rng: Random) -> list[PackItem]:
    """A group a row: its chain, and the chain with some of its tokens changed, cut at another length."""
    encoder = PromptEncoder(model.family, PROMPT)
    found = []
    for row in rows:
        chain = model.family.tokenizer(row.solution).input_ids
        other = [token if rng.random() < 0.7 else rng.randrange(300, 400) for token in chain]
        found.append(PackItem(encoder(row.prompt), [chain, other[: rng.randint(1, len(other))]]))
    return found


def one_of_each(rows: list[LabeledPrompt]) -> list[LabeledPrompt]:
    return [next(row for row in rows if row.meta["scene"] == name) for name in MEDIUM_KINDS]


def test_the_medium_model_has_thirty_million_parameters(tiny: LoadedModel) -> None:
    assert 28e6 < sum(parameter.numel() for parameter in tiny.model.parameters()) < 32e6


def test_a_seed_is_a_model(tiny_folder: Path, tmp_path: Path) -> None:
    again = build_world_model("world:medium", tmp_path / "again", world_texts(WORLD), seed=0)
    other = build_world_model("world:medium", tmp_path / "other", world_texts(WORLD), seed=1)
    read = [(at / "model.safetensors").read_bytes() for at in (tiny_folder, again, other)]
    assert read[0] == read[1] != read[2]


def test_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'world:large'.* no such model; choose one of world:tiny, world:medium"):
        build_world_model("world:large", tmp_path, ["a"], seed=0)


def test_words_and_numbers_of_the_medium_world_are_one_token_each(tiny_folder: Path, rows: list[LabeledPrompt]) -> None:
    """What is not would cost several steps each time it is said; sums above 99 are two tokens."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    assert all(len(tokenizer(str(number)).input_ids) == 1 for number in range(100))
    tokens = words = 0
    for row in rows:
        text = f"{row.prompt.question.removeprefix('<image>')} {row.solution}"
        assert tokenizer.decode(tokenizer(text).input_ids) == text
        tokens += len(tokenizer(text).input_ids)
        words += len(text.replace(":", " :").replace(",", " ,").replace("+", " + ").replace("=", " = ").split())
    assert tokens < 1.25 * words


def test_packed_equals_repeated_with_the_larger_pictures(
    tiny: LoadedModel, plain: Any, rows: list[LabeledPrompt]
) -> None:
    """Pictures of 112 x 84, 140 x 140 and up to 252 x 112 pixels: several windows of the vision tower, cut ones too."""
    groups = items(tiny, one_of_each(rows), Random(0))
    grids = {tuple(picture.tensors["image_grid_thw"][0].tolist()) for g in groups for picture in g.encoded.pictures}
    assert {(1, 6, 8), (1, 10, 10)} < grids and len(grids) == 3, "drawn sizes are left as they are"
    expected = plain.logprobs(groups)
    expected.sum().backward()
    packed = policy_logprobs(tiny, pack(groups)).logprobs_T
    packed.sum().backward()
    assert (packed - expected).abs().max() < 1e-5
    theirs = dict(plain.model.named_parameters())
    difference = sum((p.grad - theirs[n].grad).square().sum() for n, p in tiny.model.named_parameters())
    assert (difference / sum(p.grad.square().sum() for p in theirs.values())).sqrt() < 1e-5


def test_the_medium_model_learns_what_it_is_shown(tiny: LoadedModel, rows: list[LabeledPrompt]) -> None:
    batch = pack([PackItem(i.encoded, i.completions[:1]) for i in items(tiny, one_of_each(rows), Random(1))])
    optimizer = torch.optim.AdamW(tiny.model.parameters(), lr=1e-3)
    losses = []
    for _ in range(5):
        loss = -policy_logprobs(tiny, batch).logprobs_T.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 6 and losses[-1] < 0.7 * losses[0], losses

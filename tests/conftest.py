"""Fixtures that several floors share: a tiny Qwen2.5-VL and random groups for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmupt.algo.packing import PackItem
from mmupt.models.families.base import PixelLimits
from mmupt.models.loading import LoadedModel, load_model
from mmupt.models.settings import ModelSettings
from mmupt.types import EncodedPrompt
from mmupt.world.tiny_model import build_tiny_model

TEXTS = ["Add all dice.", "Largest die?", "How many red dice?", "3 5 1 2: 3+5=8, +1=9, +2=11 \\boxed{11}"] * 20


@pytest.fixture(autouse=True, scope="session")
def _quiet_and_small() -> None:
    torch.set_num_threads(1)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data sets and responses, where this checkout has them beside it."""
    folder = Path(os.environ.get("MMUPT_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is absent (set MMUPT_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("tiny"), TEXTS, seed=0)


@pytest.fixture
def tiny(tiny_folder: Path) -> LoadedModel:
    """A fresh tiny model, fp32 on the CPU."""
    return load_model(str(tiny_folder), ModelSettings(path=str(tiny_folder)), torch.device("cpu"))


@pytest.fixture
def encode(tiny: LoadedModel) -> Callable[..., EncodedPrompt]:
    """A prompt with random pictures of the given (width, height) sizes."""

    def _encode(rng: np.random.Generator, text: str, sizes: list[tuple[int, int]]) -> EncodedPrompt:
        images = [Image.fromarray(rng.integers(0, 255, (h, w, 3), dtype=np.uint8)) for w, h in sizes]
        content = [*({"type": "image"} for _ in images), {"type": "text", "text": text}]
        messages = [{"role": "user", "content": content}]
        return tiny.family.encode(messages, images, PixelLimits(56 * 56, 50_000))

    return _encode


@pytest.fixture
def random_items(tiny: LoadedModel, encode: Callable[..., EncodedPrompt]) -> Callable[[int], list[PackItem]]:
    """Groups with ragged lengths: two pictures, one picture, none; 1 to 12 tokens a completion."""

    def _items(seed: int) -> list[PackItem]:
        rng = np.random.default_rng(seed)
        prompts = [
            encode(rng, "Add all dice.", [(56, 56), (84, 112)]),
            encode(rng, "How many red dice?", [(56, 84)]),
            encode(rng, "Largest die?", []),
        ]
        low, high = 7, len(tiny.family.tokenizer)
        return [
            PackItem(p, [rng.integers(low, high, rng.integers(1, 13)).tolist() for _ in range(rng.integers(2, 5))])
            for p in prompts
        ]

    return _items

"""Fixtures that several floors share: a tiny Qwen2.5-VL and random groups for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import Qwen2_5_VLForConditionalGeneration

from mmupt.algo.packing import PackItem
from mmupt.models.families.base import PixelLimits
from mmupt.models.loading import LoadedModel, load_model
from mmupt.models.settings import ModelSettings
from mmupt.types import EncodedPrompt, Picture
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


def vision_inputs(pictures: Sequence[Picture]) -> dict[str, Tensor]:
    """Pictures as transformers' own forward takes them."""
    names = ("pixel_values", "image_grid_thw") if pictures else ()
    return {name: torch.cat([picture.tensors[name] for picture in pictures]) for name in names}


@dataclass(frozen=True)
class Plain:
    """The same model as transformers loads it, nothing of ours in it: the slow, obvious reference."""

    model: Any

    def logits(self, prompt: EncodedPrompt, completion: Sequence[int]) -> Tensor:
        """[R, V] for one rollout alone, prompt, pictures and all: transformers' positions, its causal mask."""
        ids = torch.cat([prompt.token_ids, torch.tensor(completion)])[None]
        types = (ids == self.model.config.image_token_id).int()
        pictures = vision_inputs(prompt.pictures)
        output = self.model(input_ids=ids, mm_token_type_ids=types, use_cache=False, **pictures)
        return output.logits[0, prompt.length - 1 : -1]

    def logprobs(self, items: Sequence[PackItem], temperature: float = 1.0) -> Tensor:
        """f32[T] of all completions of all items."""
        pieces = []
        for item in items:
            for completion in item.completions:
                logits = self.logits(item.encoded, completion) / temperature
                pieces.append(logits.log_softmax(-1).gather(-1, torch.tensor(completion)[:, None])[:, 0])
        return torch.cat(pieces)


@pytest.fixture
def plain(tiny_folder: Path) -> Plain:
    return Plain(
        Qwen2_5_VLForConditionalGeneration.from_pretrained(
            tiny_folder, dtype=torch.float32, attn_implementation="sdpa"
        ).eval()
    )


@pytest.fixture
def encode(tiny: LoadedModel) -> Callable[..., EncodedPrompt]:
    """A prompt with random pictures of the given (width, height) sizes."""

    def _encode(rng: np.random.Generator, text: str, sizes: list[tuple[int, int]]) -> EncodedPrompt:
        images = [Image.fromarray(rng.integers(0, 255, (h, w, 3), dtype=np.uint8)) for w, h in sizes]
        content = [*({"type": "image"} for _ in images), {"type": "text", "text": text}]
        messages = [{"role": "user", "content": content}]
        pictures = [tiny.family.picture(image, PixelLimits(56 * 56, 50_000)) for image in images]
        return tiny.family.encode(messages, pictures)

    return _encode


class _Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that any operation makes. Views count with the size they show."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.elements = max(self.elements, leaf.numel())
        return result


@pytest.fixture
def largest_tensor() -> Callable[[Callable[[], object]], int]:
    """Runs a function, backward pass included, and says how large a tensor came to exist, in elements."""

    def measure(function: Callable[[], object]) -> int:
        with _Largest() as largest:
            function()
        return largest.elements

    return measure


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

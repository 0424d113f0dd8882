"""vLLM serves every family that it can, with the log-probs of the trainer's own forward; and refuses the rest."""

from __future__ import annotations

import gc
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.models.families.conftest import BUILDS, Tiny, write
from tests.vllm.conftest import shake

from mmupt.engines.base import Request, Sampling
from mmupt.engines.choice import check_engine
from mmupt.engines.hf import HFEngine
from mmupt.engines.settings import RolloutSettings, VLLMSettings
from mmupt.engines.vllm.engine import VLLMEngine
from mmupt.engines.vllm.host import Needs, VLLMHost
from mmupt.errors import EngineError

pytestmark = pytest.mark.skipif(
    find_spec("vllm") is None, reason="vLLM is not installed here; `make test-vllm` has an environment with it"
)
SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_new_tokens=12)
NEEDS = Needs(VLLMSettings(kv_cache_mib=64), tokens=1024, rollouts=16, pixels=20_000)
CLOSE, FAR = 1e-4, 1e-2
REFUSED = {"gemma3"}
SERVED = sorted(BUILDS.keys() - REFUSED)


def wide(config: Any) -> None:
    """Heads of 32, vLLM's smallest on a CPU, and no sliding windows in some layers alone, where it wants none."""
    text = config.get_text_config()
    text.head_dim, text.num_attention_heads, text.num_key_value_heads = 32, 2, 1
    if "mrope_section" in text.rope_parameters:
        text.rope_parameters["mrope_section"] = [2 * part for part in text.rope_parameters["mrope_section"]]
    if text.model_type.startswith("qwen2"):
        text.layer_types, text.sliding_window, text.use_sliding_window = ["full_attention"] * 3, None, False


def tiny_of(name: str, folder: Path, change: Callable[[Any], None] = wide) -> Tiny:
    return Tiny(name, write(name, folder, change), BUILDS[name])


@pytest.mark.parametrize("name", SERVED)
def test_logprobs_are_the_trainers_before_and_after_an_update(
    name: str, tmp_path: Path, mismatch: Callable[..., float]
) -> None:
    """Two pictures and more text than a block of the prefix cache holds; one picture; none."""
    tiny = tiny_of(name, tmp_path)
    loaded = tiny.load()
    rng = np.random.default_rng(0)
    sizes = [[(56, 56), (84, 120)], [(150, 70)], []] if tiny.build.pictures else [[], [], []]
    texts = ["Add all dice. " * 10, "How many red dice?\n\nCount.", "Largest die?"]
    requests = [
        Request(tiny.encode(loaded, rng, text, some), tuple(range(10 * i, 10 * i + 3)))
        for i, (text, some) in enumerate(zip(texts, sizes, strict=True))
    ]
    check_engine(RolloutSettings(engine="vllm"), loaded.family)
    host = VLLMHost(NEEDS)
    engine = VLLMEngine(loaded, host)
    for seed in range(2):
        groups = engine.generate(requests, SAMPLING)
        assert mismatch(loaded, requests, groups, SAMPLING) < CLOSE
        expected = HFEngine(loaded).generate(requests, SAMPLING)
        assert [[x.token_ids for x in g] for g in groups] == [[x.token_ids for x in g] for g in expected]
        engine.release()
        shake(loaded, seed)
        assert mismatch(loaded, requests, groups, SAMPLING) > FAR, "the test needs weights that matter"
    host.close()
    gc.collect()


@pytest.mark.parametrize("name", ["qwen2", "qwen2_5_vl", *sorted(REFUSED)])
def test_what_vllm_cannot_serve_is_refused_before_anything_starts(name: str, tmp_path: Path) -> None:
    """The first two with the sliding windows that their tiny models have."""
    family = tiny_of(name, tmp_path, lambda config: None).load().family
    with pytest.raises(EngineError, match=r"cannot serve this model: .*; use rollout\.engine"):
        check_engine(RolloutSettings(engine="vllm"), family)

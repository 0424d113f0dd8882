"""vLLM samples from the newest weights of whoever asks, and from nobody's caches."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from tests.vllm.conftest import NEEDS, shake

from mmupt.engines.base import Request, Sampling
from mmupt.engines.settings import VLLMSettings
from mmupt.engines.vllm.engine import VLLMEngine
from mmupt.engines.vllm.host import VLLMHost
from mmupt.errors import EngineError
from mmupt.models.average import MovingAverage
from mmupt.models.loading import LoadedModel
from mmupt.models.lora import adapter_off, attach_adapter
from mmupt.models.settings import LoraSettings

pytestmark = pytest.mark.skipif(
    find_spec("vllm") is None, reason="vLLM is not installed here; `make test-vllm` has an environment with it"
)
SAMPLING = Sampling(temperature=1.0, top_p=1.0, max_new_tokens=16)
CLOSE = 1e-4
FAR = 1e-2

Mismatch = Callable[..., float]


def test_new_weights_are_taken_over_whole(
    tiny: LoadedModel, host: VLLMHost, requests: list[Request], mismatch: Mismatch
) -> None:
    engine = VLLMEngine(tiny, host)
    for seed in range(3):
        groups = engine.generate(requests, SAMPLING)
        assert mismatch(tiny, requests, groups, SAMPLING) < CLOSE
        engine.release()
        shake(tiny, seed)
        assert mismatch(tiny, requests, groups, SAMPLING) > FAR, "the test needs weights that matter"


@pytest.mark.parametrize(
    "prefix", ["visual.patch_embed", "visual.blocks.1", "visual.merger", "embed_tokens", "layers.2"]
)
def test_every_part_arrives(
    tiny: LoadedModel, host: VLLMHost, requests: list[Request], mismatch: Mismatch, prefix: str
) -> None:
    """A part that vLLM kept from before would show."""
    engine = VLLMEngine(tiny, host)
    before = engine.generate(requests[:1], SAMPLING)
    engine.release()
    with torch.no_grad():
        for name, parameter in tiny.model.named_parameters():
            if prefix in name:
                parameter.mul_(2.0)
    assert mismatch(tiny, requests[:1], before, SAMPLING) > 10 * CLOSE
    assert mismatch(tiny, requests[:1], engine.generate(requests[:1], SAMPLING), SAMPLING) < CLOSE


def test_weights_of_others_come_and_go(
    tiny: LoadedModel, host: VLLMHost, requests: list[Request], mismatch: Mismatch
) -> None:
    """A teacher is asked between two questions to the policy; nobody releases anything."""
    other = replace(tiny, model=copy.deepcopy(tiny.model))
    shake(other, 0)
    policy, teacher = VLLMEngine(tiny, host), VLLMEngine(other, host)
    for engine in (policy, teacher, policy):
        groups = engine.generate(requests, SAMPLING)
        assert mismatch(engine.loaded, requests, groups, SAMPLING) < CLOSE
    assert mismatch(other, requests, groups, SAMPLING) > FAR


def test_a_moving_average_is_asked(
    tiny: LoadedModel, host: VLLMHost, requests: list[Request], mismatch: Mismatch
) -> None:
    average = MovingAverage(tiny, decay=1.0)
    shake(tiny, 0)
    policy = VLLMEngine(tiny, host)
    first = policy.generate(requests, SAMPLING)
    with average.active() as loaded:
        asked = VLLMEngine(loaded, host).generate(requests, SAMPLING)
        assert mismatch(loaded, requests, asked, SAMPLING) < CLOSE
        assert mismatch(loaded, requests, first, SAMPLING) > FAR
    again = policy.generate(requests, SAMPLING)
    assert mismatch(tiny, requests, again, SAMPLING) < CLOSE


def test_an_adapter_is_merged_for_vllm_alone(
    tiny: LoadedModel, host: VLLMHost, requests: list[Request], mismatch: Mismatch
) -> None:
    adapted = attach_adapter(tiny, LoraSettings(rank=4), seed=0)
    shake(adapted, 0)
    kept = {name: parameter.clone() for name, parameter in adapted.model.named_parameters()}
    policy = VLLMEngine(adapted, host)
    with_adapter = policy.generate(requests, SAMPLING)
    assert mismatch(adapted, requests, with_adapter, SAMPLING) < CLOSE
    with adapter_off(adapted.model):
        start = VLLMEngine(adapted, host).generate(requests, SAMPLING)
        assert mismatch(adapted, requests, start, SAMPLING) < CLOSE
        assert mismatch(adapted, requests, with_adapter, SAMPLING) > FAR
    assert mismatch(adapted, requests, policy.generate(requests, SAMPLING), SAMPLING) < CLOSE
    assert all(torch.equal(kept[name], parameter) for name, parameter in adapted.model.named_parameters())


def test_without_release_weights_are_those_of_before(
    tiny: LoadedModel, host: VLLMHost, requests: list[Request], mismatch: Mismatch
) -> None:
    """What `release` is for; the trainer's loop calls it before every update."""
    engine = VLLMEngine(tiny, host)
    engine.generate(requests, SAMPLING)
    shake(tiny, 0)
    assert mismatch(tiny, requests, engine.generate(requests, SAMPLING), SAMPLING) > FAR


@pytest.mark.slow
def test_tensor_parallel_workers_read_new_weights_from_files(
    tiny: LoadedModel, requests: list[Request], mismatch: Mismatch
) -> None:
    own = VLLMHost(replace(NEEDS, settings=VLLMSettings(kv_cache_mib=64, tensor_parallel=2)))
    engine = VLLMEngine(tiny, own)
    for seed in range(2):
        groups = engine.generate(requests, SAMPLING)
        assert mismatch(tiny, requests, groups, SAMPLING) < CLOSE
        engine.release()
        shake(tiny, seed)
        assert mismatch(tiny, requests, groups, SAMPLING) > FAR
    own.close()


class TestCaches:
    """Each of both resets is needed: without it, an update is followed by wrong rollouts or by none."""

    def test_prefixes(
        self,
        tiny: LoadedModel,
        host: VLLMHost,
        requests: list[Request],
        mismatch: Mismatch,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        engine = VLLMEngine(tiny, host)
        engine.generate(requests, SAMPLING)
        monkeypatch.setattr(host._llm, "reset_prefix_cache", lambda: True)
        engine.release()
        shake(tiny, 0)
        with pytest.raises(EngineError, match="other weights"):
            engine.generate(requests, SAMPLING)

    def test_picture_features(
        self, tiny: LoadedModel, requests: list[Request], mismatch: Mismatch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """vLLM of its own: what it leaves behind is broken."""
        own = VLLMHost(NEEDS)
        engine = VLLMEngine(tiny, own)
        engine.generate(requests, SAMPLING)
        monkeypatch.setattr(own._llm.llm_engine, "reset_encoder_cache", lambda: None)
        engine.release()
        shake(tiny, 0)
        with pytest.raises(RuntimeError, match="Encoder cache miss"):
            engine.generate(requests, SAMPLING)
        own.close()

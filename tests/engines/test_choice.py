"""The engine asked for is the engine used, or the run does not begin."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest

from mmupt.data.settings import PromptSettings
from mmupt.engines import choice
from mmupt.engines.choice import Engines, check_engine
from mmupt.engines.divided import DividedEngine, FirstEngine
from mmupt.engines.hf import HFEngine
from mmupt.engines.settings import RolloutSettings
from mmupt.engines.vllm.engine import VLLMEngine
from mmupt.errors import EngineError
from mmupt.models.loading import LoadedModel
from mmupt.runtime.phases import PhaseClock
from mmupt.runtime.processes import Processes

VLLM = RolloutSettings(engine="vllm", group_size=4, prompts_at_once=3, max_new_tokens=100)
PROMPT = PromptSettings(max_tokens=200, min_pixels=3136, max_pixels=10_000)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    def _installed(is_there: bool) -> None:
        monkeypatch.setattr(choice, "find_spec", lambda name: importlib.util.find_spec("sys") if is_there else None)

    return _installed


def test_a_missing_vllm_is_an_error_with_the_line_to_type(tiny: LoadedModel, installed: Callable[[bool], None]) -> None:
    installed(False)
    check_engine(RolloutSettings(), tiny.family)
    for ask in (lambda: check_engine(VLLM, tiny.family), lambda: Engines().of(VLLM, PROMPT, PhaseClock())):
        with pytest.raises(EngineError, match=r'pip install "mmupt\[vllm\]"'):
            ask()
    installed(True)
    check_engine(VLLM, tiny.family)


def test_a_model_that_vllm_cannot_serve_is_refused(tiny: LoadedModel, installed: Callable[[bool], None]) -> None:
    installed(True)
    tiny.family.windows = (9,)
    with pytest.raises(EngineError, match=r'have a sliding window, .*; use rollout\.engine = "hf"'):
        check_engine(VLLM, tiny.family)
    check_engine(RolloutSettings(), tiny.family)


def test_hf_is_the_default(tiny: LoadedModel) -> None:
    engine = Engines().of(RolloutSettings(prompts_at_once=3), PROMPT, PhaseClock())(tiny)
    assert isinstance(engine, HFEngine) and engine.prompts_at_once == 3
    engine.release()  # nothing to give back


def test_one_vllm_serves_all_who_need_the_same(tiny: LoadedModel, installed: Callable[[bool], None]) -> None:
    """None of this starts vLLM."""
    installed(True)
    with Engines() as engines:
        first, second = (engines.of(VLLM, PROMPT, PhaseClock())(tiny) for _ in range(2))
        longer = engines.of(VLLM.model_copy(update={"max_new_tokens": 101}), PROMPT, PhaseClock())(tiny)
    assert isinstance(first, VLLMEngine) and isinstance(second, VLLMEngine) and isinstance(longer, VLLMEngine)
    assert first.host is second.host is not longer.host
    needs = first.host.needs
    assert (needs.tokens, needs.rollouts, needs.pixels) == (300, 12, 10_000)


@pytest.mark.parametrize(("longest", "tokens"), [(0, 300), (99, 300), (256, 456)])
def test_there_is_room_for_the_longest_that_is_asked_for(
    tiny: LoadedModel, installed: Callable[[bool], None], longest: int, tokens: int
) -> None:
    installed(True)
    with Engines() as engines:
        engine = engines.of(VLLM, PROMPT, PhaseClock(), longest)(tiny)
    assert isinstance(engine, VLLMEngine) and engine.host.needs.tokens == tokens


class Second(Processes):
    """Of two; it waits for nobody, and has what nobody has said."""

    rank, size = 1, 2

    def first(self, make: Callable[[], object]) -> None:  # type: ignore[override]
        return None


def test_of_several_processes_each_has_its_own_or_the_first_asks(
    tiny: LoadedModel, installed: Callable[[bool], None]
) -> None:
    """None of this starts vLLM, or looks for a server."""
    installed(True)
    served = RolloutSettings(engine="server", servers=("http://127.0.0.1:1",))
    shared = VLLM.model_copy(update={"vllm": VLLM.vllm.model_copy(update={"tensor_parallel": 2})})
    check_engine(served, tiny.family, Second())  # has no secret, and needs none
    with Engines(Second()) as engines:
        own, vllm, pair, servers = (
            engines.of(settings, PROMPT, PhaseClock())(tiny) for settings in (RolloutSettings(), VLLM, shared, served)
        )
    assert isinstance(own, DividedEngine) and isinstance(own.own, HFEngine)
    for engine, abreast in ((vllm, 1), (pair, 2)):
        assert isinstance(engine, DividedEngine) and isinstance(engine.own, VLLMEngine)
        assert engine.abreast == abreast and engine.ready == engine.own.holding, "all begin together"
    assert isinstance(servers, FirstEngine) and servers.own is None
    servers.release()

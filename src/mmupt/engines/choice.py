"""Which engine samples, as `[rollout]` says."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mmupt.data.settings import PromptSettings
from mmupt.engines.base import Engine
from mmupt.engines.divided import DividedEngine
from mmupt.engines.hf import HFEngine
from mmupt.engines.settings import VLLM_INSTALL, RolloutSettings
from mmupt.errors import EngineError
from mmupt.models.families.base import Family
from mmupt.models.loading import LoadedModel
from mmupt.runtime.phases import PhaseClock
from mmupt.runtime.processes import ALONE, Processes

if TYPE_CHECKING:
    from mmupt.engines.vllm.host import VLLMHost


def check_engine(settings: RolloutSettings, family: Family) -> None:
    """EngineError where the engine asked for is not installed, or cannot be handed prompts of this family. Nothing is
    imported."""
    _check_installed(settings)
    if settings.engine == "vllm" and not family.hands_over:
        raise EngineError(
            f'rollout.engine = "vllm" is there for Qwen2-VL and Qwen2.5-VL, and not for {type(family).__name__}; '
            'use rollout.engine = "hf"'
        )


def _check_installed(settings: RolloutSettings) -> None:
    if settings.engine == "vllm" and find_spec("vllm") is None:
        raise EngineError(f'rollout.engine = "vllm", but vLLM is not installed; {VLLM_INSTALL}')


class Engines:
    """Makes engines; holds the one vLLM of this process, which serves one stage after another where they need the same
    of it. Those of several processes work together, where they are asked `together`."""

    def __init__(self, processes: Processes = ALONE) -> None:
        self._processes = processes
        self._host: VLLMHost | None = None

    def of(
        self, settings: RolloutSettings, prompt: PromptSettings, clock: PhaseClock
    ) -> Callable[[LoadedModel], Engine]:
        """What makes an engine for given weights. All of one call share what is costly; weights are brought to where
        they are needed when an engine is used."""
        _check_installed(settings)
        if settings.engine == "hf":
            return lambda loaded: HFEngine(loaded, settings.prompts_at_once, clock)
        from mmupt.engines.vllm.engine import VLLMEngine
        from mmupt.engines.vllm.host import Needs, VLLMHost

        needs = Needs(
            settings.vllm,
            tokens=prompt.max_tokens + settings.max_new_tokens,
            rollouts=settings.prompts_at_once * settings.group_size,
            pixels=prompt.max_pixels,
        )
        if self._host is None or self._host.needs != needs:
            self.close()
            self._host = VLLMHost(needs)
        host = self._host
        return lambda loaded: VLLMEngine(loaded, host, clock)

    def together(
        self, settings: RolloutSettings, prompt: PromptSettings, clock: PhaseClock
    ) -> Callable[[LoadedModel], Engine]:
        """The same, for all processes at the same time: each samples a share of what all ask for."""
        own = self.of(settings, prompt, clock)
        if self._processes.size == 1:
            return own
        return lambda loaded: DividedEngine(own(loaded), self._processes, clock)

    @staticmethod
    def lent(engine: Engine) -> Engines:
        """Of which every engine is `engine`."""
        return _Lent(engine)

    def __enter__(self) -> Engines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._host is not None:
            self._host.close()
            self._host = None


class _Lent(Engines):
    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    def of(
        self, settings: RolloutSettings, prompt: PromptSettings, clock: PhaseClock
    ) -> Callable[[LoadedModel], Engine]:
        return lambda loaded: self._engine

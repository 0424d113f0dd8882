"""Which engine samples, as `[rollout]` says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mmupt.data.settings import PromptSettings
from mmupt.engines.base import Engine
from mmupt.engines.divided import DividedEngine
from mmupt.engines.hf import HFEngine
from mmupt.engines.server.load import Load
from mmupt.engines.settings import VLLM_INSTALL, RolloutSettings
from mmupt.errors import EngineError
from mmupt.models.families.base import Family
from mmupt.models.loading import LoadedModel
from mmupt.runtime.phases import PhaseClock
from mmupt.runtime.processes import ALONE, Processes

if TYPE_CHECKING:
    from mmupt.engines.server.pool import ServerPool
    from mmupt.engines.vllm.host import Needs, VLLMHost


def check_engine(settings: RolloutSettings, family: Family) -> None:
    """EngineError where the engine asked for is not installed, or cannot be handed prompts of this family, or where no
    server answers, or one serves something else. Nothing of vLLM's is imported."""
    if settings.engine == "vllm":
        check_vllm(family)
    elif settings.engine == "server":
        from mmupt.engines.server.preflight import check_servers

        check_servers(settings, family)


def check_vllm(family: Family) -> None:
    """EngineError where vLLM is not installed, or cannot be handed prompts of this family."""
    _check_installed()
    if (reason := family.not_in_vllm) is not None:
        raise EngineError(f'rollout.engine = "vllm" cannot serve this model: {reason}; use rollout.engine = "hf"')


def _check_installed() -> None:
    if find_spec("vllm") is None:
        raise EngineError(f'rollout.engine = "vllm", but vLLM is not installed; {VLLM_INSTALL}')


class Engines:
    """Makes engines; holds the one vLLM of this process, or the servers, which serve one stage after another where they
    need the same of it. Those of several processes work together, where they are asked `together`."""

    def __init__(self, processes: Processes = ALONE) -> None:
        self._processes = processes
        self._host: VLLMHost | None = None
        self._pool: ServerPool | None = None

    def of(
        self, settings: RolloutSettings, prompt: PromptSettings, clock: PhaseClock, longest: int = 0
    ) -> Callable[[LoadedModel], Engine]:
        """What makes an engine for given weights. All of one call share what is costly; weights are brought to where
        they are needed when an engine is used. `longest` is the most tokens that a response will be asked to have,
        where that is more than `settings.max_new_tokens`."""
        tokens = prompt.max_tokens + max(settings.max_new_tokens, longest)
        if settings.engine == "hf":
            return lambda loaded: HFEngine(loaded, settings.prompts_at_once, clock)
        if settings.engine == "server":
            from mmupt.engines.server.engine import ServerEngine

            load = Load(tokens, settings.prompts_at_once, settings.group_size, prompt.max_pixels)
            pool = self._servers(settings, load)
            return lambda loaded: ServerEngine(loaded, pool, clock)
        _check_installed()
        from mmupt.engines.vllm.engine import VLLMEngine
        from mmupt.engines.vllm.host import Needs

        rollouts = settings.prompts_at_once * settings.group_size
        host = self._vllm(Needs(settings.vllm, tokens=tokens, rollouts=rollouts, pixels=prompt.max_pixels))
        return lambda loaded: VLLMEngine(loaded, host, clock)

    def _vllm(self, needs: Needs) -> VLLMHost:
        from mmupt.engines.vllm.host import VLLMHost

        if self._host is None or self._host.needs != needs:
            self.close()
            self._host = VLLMHost(needs)
        return self._host

    def _servers(self, settings: RolloutSettings, load: Load) -> ServerPool:
        from mmupt.engines.server.pool import ServerPool

        if self._pool is None or (self._pool.settings, self._pool.load) != (settings, load):
            self.close()
            self._pool = ServerPool(settings, load)
        return self._pool

    def together(
        self, settings: RolloutSettings, prompt: PromptSettings, clock: PhaseClock
    ) -> Callable[[LoadedModel], Engine]:
        """The same, for all processes at the same time: each samples a share of what all ask for."""
        own = self.of(settings, prompt, clock)
        if self._processes.size == 1:
            return own
        forwards = settings.engine == "hf"  # the others read weights and keep them
        return lambda loaded: DividedEngine(
            own(loaded), self._processes, clock, loaded.whole if forwards else nullcontext
        )

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
        if self._pool is not None:
            self._pool.close()
            self._pool = None


class _Lent(Engines):
    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    def of(
        self, settings: RolloutSettings, prompt: PromptSettings, clock: PhaseClock, longest: int = 0
    ) -> Callable[[LoadedModel], Engine]:
        return lambda loaded: self._engine

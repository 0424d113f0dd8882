"""Which engine samples, as `[rollout]` says."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mmupt.data.settings import PromptSettings
from mmupt.engines.base import Engine
from mmupt.engines.divided import DividedEngine, FirstEngine
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


def check_engine(settings: RolloutSettings, family: Family, processes: Processes = ALONE) -> None:
    """EngineError where the engine asked for is not installed, or cannot be handed prompts of this family, or where no
    server answers, or one serves something else; of several `processes` the first alone asks the servers. Nothing of
    vLLM's is imported."""
    if settings.engine == "vllm":
        check_vllm(family)
    elif settings.engine == "server" and processes.main:
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
    need the same of it. Those of several `processes` work together: all make the same, ask for the same and release it,
    at the same time, and have all the rollouts."""

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
        if settings.engine == "server":
            load = Load(tokens, settings.prompts_at_once, settings.group_size, prompt.max_pixels)
            return self._of_servers(settings, load, clock)
        if settings.engine == "vllm":
            _check_installed()
            from mmupt.engines.vllm.host import Needs

            rollouts = settings.prompts_at_once * settings.group_size
            return self._of_vllm(Needs(settings.vllm, tokens, rollouts, prompt.max_pixels), clock)
        return lambda loaded: self.hf(loaded, settings.prompts_at_once, clock)

    def hf(self, loaded: LoadedModel, prompts_at_once: int, clock: PhaseClock) -> Engine:
        """The one that needs nothing but the model, whatever the settings say."""
        return self._shared(HFEngine(loaded, prompts_at_once, clock), clock, loaded.whole)

    def _of_servers(self, settings: RolloutSettings, load: Load, clock: PhaseClock) -> Callable[[LoadedModel], Engine]:
        """The first process alone knows the servers."""
        from mmupt.engines.server.engine import ServerEngine

        processes = self._processes
        if processes.size == 1:
            pool = self._servers(settings, load)
            return lambda loaded: ServerEngine(loaded, pool, clock)
        firsts: list[ServerPool] = []
        processes.first(lambda: firsts.append(self._servers(settings, load)))
        return lambda loaded: FirstEngine(
            ServerEngine(loaded, firsts[0], clock) if firsts else None, processes, clock, loaded
        )

    def _of_vllm(self, needs: Needs, clock: PhaseClock) -> Callable[[LoadedModel], Engine]:
        """One in each process, or in so many neighbouring ones as share a copy of the model."""
        from mmupt.engines.vllm.engine import VLLMEngine

        host = self._vllm(needs)

        def make(loaded: LoadedModel) -> Engine:
            own = VLLMEngine(loaded, host, clock)
            return self._shared(own, clock, own.holding, needs.settings.tensor_parallel)

        return make

    def _shared(
        self, own: Engine, clock: PhaseClock, ready: Callable[[], AbstractContextManager[None]], abreast: int = 1
    ) -> Engine:
        return own if self._processes.size == 1 else DividedEngine(own, self._processes, clock, ready, abreast)

    def _vllm(self, needs: Needs) -> VLLMHost:
        from mmupt.engines.vllm.host import VLLMHost

        if self._host is None or self._host.needs != needs:
            self.close()
            self._host = VLLMHost(needs, self._processes)
        return self._host

    def _servers(self, settings: RolloutSettings, load: Load) -> ServerPool:
        from mmupt.engines.server.pool import ServerPool

        if self._pool is None or (self._pool.settings, self._pool.load) != (settings, load):
            self.close()
            self._pool = ServerPool(settings, load)
        return self._pool

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

"""The one vLLM of a process: started, given weights, put to sleep, asked.

Measured with vLLM 0.32 on a CPU. What must hold for a rollout to be what the policy says:

- all weights are handed over at once, through `reload_weights` (handover.py): `load_weights` changes nothing on a CPU,
  where weights are packed, and a part of a fused matrix corrupts the rest;
- behind new weights both caches are emptied, that of prefixes and that of picture features: the keys of both are what
  was asked, not who was asked;
- prompts go to vLLM's engine as it takes them behind its own processing of pictures (asking.py): a processor would
  expand once more what is already expanded, in silence.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from mmupt.engines.settings import VLLM_INSTALL, VLLMSettings
from mmupt.engines.source import Source
from mmupt.engines.vllm.handover import Handover, InProcess, ThroughFiles
from mmupt.errors import EngineError
from mmupt.runtime.processes import ALONE, Processes

_OLDEST = (0, 32)
_CPU_CACHE_MIB = 1024
_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process: weights are handed over, not sent
    "VLLM_USE_V2_MODEL_RUNNER": "0",  # whose logits processors are of another kind
}
_DEFAULTS = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the trainer computes on the same cores
}


@dataclass(frozen=True, slots=True)
class Needs:
    """What vLLM is started for. `tokens` bounds prompt and response together, `rollouts` those that run at a time,
    `pixels` a picture."""

    settings: VLLMSettings
    tokens: int
    rollouts: int
    pixels: int


class VLLMHost:
    """Started when it is first asked. It has the weights of one holder at a time.

    vLLM keeps its groups of processes, and on a CPU its threads, for the process as a whole: a host that starts closes
    the one that ran before, which starts anew when it is asked again.

    Of several `processes` each has a vLLM that computes in it (what vLLM calls an "external_launcher" is torchrun): its
    own, or a part of one that `tensor_parallel` neighbours share, who are then asked for the same, in the same order.
    Each is handed the weights of its own process.
    """

    _running: ClassVar[VLLMHost | None] = None

    def __init__(self, needs: Needs, processes: Processes = ALONE) -> None:
        self.needs = needs
        self._processes = processes
        self._llm: Any = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._handover: Handover = InProcess()
        self._holder: object | None = None
        self._asleep = False
        self._owns_process_group = False

    @torch.no_grad()
    def hold(self, holder: object, source: Source) -> bool:
        """What is generated from now on comes from the weights of `source`, as they are. Nothing is done, and False
        returned, where `holder` was the last to ask and `let_go` has not been called since."""
        if self._holder is holder:
            return False
        self._holder = None
        there = self.start(source) and self._handover.at_start
        if self._asleep:
            self._llm.wake_up(tags=["weights"])
        if not there:
            self._handover(self._llm, source.named)
            self._empty_caches()
        if self._asleep:
            self._llm.wake_up(tags=["kv_cache"])
            self._asleep = False
        self._holder = holder
        return True

    def start(self, source: Source) -> bool:
        """Whether vLLM was not running; now it is. Of several processes all do this at the same time: vLLM makes groups
        of them."""
        if self._llm is not None:
            return False
        self._start(source)
        return True

    def let_go(self) -> None:
        """The weights handed over are old. On a GPU the memory of weights and caches is given back."""
        self._holder = None
        if self._llm is not None and self._sleeps and not self._asleep:
            self._llm.sleep(level=2)  # forgets the weights: new ones come anyway
            self._asleep = True

    def generate(self, inputs: Sequence[Any], params: Sequence[Any]) -> list[Any]:
        """vLLM's outputs, in the order of the inputs, which are those of its engine."""
        engine = self._llm.llm_engine
        with self._stance():
            for number, (one, how) in enumerate(zip(inputs, params, strict=True)):
                engine.add_request(str(number), one, how)
            outputs = {}
            while engine.has_unfinished_requests():
                outputs.update({output.request_id: output for output in engine.step() if output.finished})
        return [outputs[str(number)] for number in range(len(inputs))]

    def picture(self, tensors: dict[str, Tensor]) -> Any:
        """A picture as vLLM's engine takes it, from what vLLM's processor would have made of it."""
        from transformers import BatchFeature
        from vllm.multimodal.inputs import MultiModalKwargsItems

        made = BatchFeature(tensors)
        fields = self._llm.llm_engine.renderer.get_mm_processor()._get_mm_fields_config(made, {})
        return MultiModalKwargsItems.from_hf_inputs(made, fields)["image"][0]

    @staticmethod
    def place(at: Tensor) -> Any:
        """Where a picture's features go: the prompt's positions `at`, rising, with text between them or not."""
        from vllm.multimodal.inputs import PlaceholderRange

        first, last = int(at[0]), int(at[-1])
        taken = torch.zeros(last - first + 1, dtype=torch.bool)
        taken[at - first] = True
        return PlaceholderRange(offset=first, length=len(taken), is_embed=None if bool(taken.all()) else taken)

    def close(self) -> None:
        """Memory, threads and files are given back; the next `hold` starts anew."""
        if self._llm is None:
            return
        from vllm.distributed import cleanup_dist_env_and_memory

        VLLMHost._running = None
        with nullcontext() if self._owns_process_group else _world_is_kept():
            self._llm.llm_engine.engine_core.shutdown()
            cleanup_dist_env_and_memory()
        self._llm = self._holder = None
        self._asleep = False
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def _sleeps(self) -> bool:
        return self.needs.settings.sleep and torch.cuda.is_available()

    def _empty_caches(self) -> None:
        if not self._llm.reset_prefix_cache():
            raise EngineError("vLLM did not empty its prefix cache: somebody is still generating; please report this")
        self._llm.llm_engine.reset_encoder_cache()

    def _start(self, source: Source) -> None:
        if VLLMHost._running is not None:
            VLLMHost._running.close()
        os.environ.update(_ENVIRONMENT)
        if self._processes.size > 1:  # vLLM looks there, and Ray has not written it
            os.environ.update(RANK=str(self._processes.rank), LOCAL_RANK=str(self._processes.local_rank))
        for name, value in _DEFAULTS.items():
            os.environ.setdefault(name, value)
        vllm = self._processes.each(_import)
        self._folder = tempfile.TemporaryDirectory(prefix="mmupt-vllm-")
        folder = Path(self._folder.name)
        _write_folder(source, folder)
        if self.needs.settings.tensor_parallel > 1 and self._processes.size == 1:
            self._handover = ThroughFiles(folder, getattr(torch, self._dtype(source)))
        self._owns_process_group = not torch.distributed.is_initialized()
        try:
            with _threads_can_be_set(), self._stance():
                format = self._handover.prepare(source.named)
                self._llm = vllm.LLM(str(folder), load_format=format, **self._arguments(source))
        except Exception as error:  # whatever vLLM and the libraries below it raise; all of it is about this machine
            raise EngineError(f"vLLM did not start: {_last_line(error)}") from error
        VLLMHost._running = self

    def _stance(self) -> AbstractContextManager[object]:
        """Without graphs on a CPU nothing is compiled: what vLLM compiles there all the same, a count that nobody
        reads, takes longer than a short run, and a C++ compiler."""
        eager = self.needs.settings.enforce_eager is not False and not torch.cuda.is_available()
        return torch.compiler.set_stance("force_eager") if eager else nullcontext()

    def _dtype(self, source: Source) -> str:
        return self.needs.settings.dtype or str(source.dtype).removeprefix("torch.")

    def _arguments(self, source: Source) -> dict[str, Any]:
        from mmupt.engines.vllm.drawing import BANNED, Drawing

        settings, needs = self.needs.settings, self.needs
        on_cpu = source.device.type == "cpu"
        cache = settings.kv_cache_mib or (_CPU_CACHE_MIB if on_cpu else None)
        arguments: dict[str, Any] = {
            "dtype": self._dtype(source),
            "max_model_len": needs.tokens,
            "max_num_seqs": needs.rollouts,
            "tensor_parallel_size": settings.tensor_parallel,
            "enforce_eager": on_cpu if settings.enforce_eager is None else settings.enforce_eager,
            "gpu_memory_utilization": settings.gpu_memory_fraction,
            "kv_cache_memory_bytes": cache * 2**20 if cache is not None else None,
            "enable_sleep_mode": self._sleeps,
            "enable_prefix_caching": True,
            "async_scheduling": False,  # a draw must know how many tokens there are already
            "logits_processors": [Drawing],
            "logprobs_mode": "processed_logits",
            "additional_config": {BANNED: list(source.family.banned_ids)},
            "generation_config": "vllm",
            "use_tqdm_on_load": False,
            "seed": 0,
        }
        if source.family.parts["vision"]:
            arguments |= {
                "limit_mm_per_prompt": {"video": 0},
                "mm_processor_kwargs": source.family.vllm_processing(needs.pixels),
                "mm_device_do_normalize": False,  # pictures come as the tower reads them
                "mm_processor_cache_gb": 0,
            }
        if self._processes.size > 1:
            arguments["distributed_executor_backend"] = "external_launcher"
        return arguments | ({"block_size": 32} if on_cpu else {})


def _import() -> Any:
    try:
        import vllm
    except ImportError as error:
        raise EngineError(f"vLLM could not be imported ({error}); {VLLM_INSTALL}") from error
    if tuple(int(part) for part in vllm.__version__.split(".")[:2]) < _OLDEST:
        raise EngineError(f"vLLM {vllm.__version__} is too old; {VLLM_INSTALL}")
    return vllm


def _write_folder(source: Source, folder: Path) -> None:
    """A Hugging Face folder without weights."""
    source.config.save_pretrained(folder)
    source.family.save(str(folder))


@contextmanager
def _threads_can_be_set() -> Iterator[None]:
    """vLLM on a CPU puts a function that does nothing in the place of this one, for the whole process."""
    setter = torch.set_num_threads
    try:
        yield
    finally:
        torch.set_num_threads = setter


@contextmanager
def _world_is_kept() -> Iterator[None]:
    """vLLM ends with torch's process group as a whole; where that is not its own, only what it has made of it goes."""
    from vllm.distributed import parallel_state

    whole = parallel_state.destroy_distributed_environment
    parallel_state.destroy_distributed_environment = lambda: None
    try:
        yield
    finally:
        parallel_state.destroy_distributed_environment = whole


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__

"""Behind new weights, one rollout goes through the trainer's forward."""

from __future__ import annotations

import torch
from torch import Tensor

from mmupt.algo.packing import PackItem, pack
from mmupt.engines.base import Sampling
from mmupt.engines.finished import Finished
from mmupt.errors import EngineError
from mmupt.models.forward import no_grad_logprobs
from mmupt.models.loading import LoadedModel
from mmupt.models.lora import adapter_is_on
from mmupt.types import EncodedPrompt, PackedBatch

_APART_FP32, _APART_BF16 = 1e-3, 0.25
"""Mean differences of log-probs that float error does not explain (measured: 1e-6 in fp32, 0.014 in bf16)."""
_CHUNK = 1024


def refuse_other_weights(
    loaded: LoadedModel, encoded: EncodedPrompt, finished: Finished, sampling: Sampling, *, exact: bool, who: str
) -> None:
    """Weights that did not arrive, or a cache that survived, raise EngineError here instead of spoiling the run; what
    is smaller shows in the metric `mismatch_max`. `exact`: engine and trainer both compute in fp32; `who` is the
    engine, as a sentence begins with it. Of sharded weights all processes do this at the same time, or `keep_step`."""
    row = pack([PackItem(encoded, [finished.token_ids])])
    temperature = sampling.temperature or 1.0
    expected_T = _logprobs(loaded, row, temperature)
    apart = float((expected_T.cpu() - torch.tensor(finished.logprobs)).abs().mean())
    if not apart <= (_APART_FP32 if exact else _APART_BF16):
        raise EngineError(
            f"{who} samples from other weights than the trainer's: log-probs differ by {apart:.3g} on average; "
            'use rollout.engine = "hf", and please report this'
        )


def keep_step(loaded: LoadedModel) -> None:
    """For a process that has no rollout to compare, while others have."""
    if loaded.shards is not None and not loaded.shards.is_whole:
        loaded.shards.frozen_idle()


def _logprobs(loaded: LoadedModel, row: PackedBatch, temperature: float) -> Tensor:
    if loaded.shards is None or loaded.shards.is_whole:
        return no_grad_logprobs(loaded, row, temperature=temperature, chunk=_CHUNK)
    adapter = adapter_is_on(loaded.model)
    return loaded.shards.frozen_logprobs(row, temperature=temperature, chunk=_CHUNK, adapter=adapter)

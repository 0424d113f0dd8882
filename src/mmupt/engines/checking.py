"""Behind new weights, one rollout goes through the trainer's forward."""

from __future__ import annotations

import torch

from mmupt.algo.packing import PackItem, pack
from mmupt.engines.base import Sampling
from mmupt.engines.finished import Finished
from mmupt.errors import EngineError
from mmupt.models.forward import no_grad_logprobs
from mmupt.models.loading import LoadedModel
from mmupt.types import EncodedPrompt

_APART_FP32, _APART_BF16 = 1e-3, 0.25
"""Mean differences of log-probs that float error does not explain (measured: 1e-6 in fp32, 0.014 in bf16)."""
_CHUNK = 1024


def refuse_other_weights(
    loaded: LoadedModel, encoded: EncodedPrompt, finished: Finished, sampling: Sampling, *, exact: bool, who: str
) -> None:
    """Weights that did not arrive, or a cache that survived, raise EngineError here instead of spoiling the run; what
    is smaller shows in the metric `mismatch_max`. `exact`: engine and trainer both compute in fp32; `who` is the
    engine, as a sentence begins with it."""
    row = pack([PackItem(encoded, [finished.token_ids])])
    temperature = sampling.temperature or 1.0
    expected_T = no_grad_logprobs(loaded, row, temperature=temperature, chunk=_CHUNK).cpu()
    apart = float((expected_T - torch.tensor(finished.logprobs)).abs().mean())
    if not apart <= (_APART_FP32 if exact else _APART_BF16):
        raise EngineError(
            f"{who} samples from other weights than the trainer's: log-probs differ by {apart:.3g} on average; "
            'use rollout.engine = "hf", and please report this'
        )

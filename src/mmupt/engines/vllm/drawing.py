"""Our sampling inside vLLM: the very draw of the HF engine, with its seeds, its top-p and its log-probs.

vLLM's own log-probs are either before temperature or behind top-p and masks, never what a trainer computes, and its
seeds belong to requests of its own making. So this logits processor draws the token itself and leaves vLLM no choice:
of all logits, that of the token drawn alone is finite, and it is the log-prob. vLLM then takes the largest and, told to
report logits as they were processed, hands the log-prob back with the token.

Loaded by vLLM in whichever process holds the logits. Suffixes: N requests of a step, V vocabulary, B banned ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor, MoveDirectionality

from mmupt.engines.base import Sampling
from mmupt.engines.sampling import draw, uniform_streams

SEED, SAMPLING = "mmupt_seed", "mmupt_sampling"
"""What a request carries in `extra_args`: its seed, and temperature, top-p and most tokens."""
BANNED = "mmupt_banned"
"""What vLLM is started with in `additional_config`: the ids that are never sampled."""


@dataclass(frozen=True, slots=True)
class _Request:
    """`uniform_T` decides its tokens one by one; `output` is vLLM's own list of those sampled so far, which grows."""

    sampling: Sampling
    uniform_T: np.ndarray
    output: list[int]


class Drawing(LogitsProcessor):  # type: ignore[misc]
    """One for each batch that vLLM keeps; requests are known by their place in it."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self._banned_B = torch.tensor(vllm_config.additional_config[BANNED], dtype=torch.long, device=device)
        self._requests: dict[int, _Request] = {}

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        if batch_update is None:
            return
        for place in batch_update.removed:
            self._requests.pop(place, None)
        for place, params, _, output in batch_update.added:
            sampling = Sampling(*params.extra_args[SAMPLING])
            uniform_1T = uniform_streams([params.extra_args[SEED]], sampling.max_new_tokens)
            self._requests[place] = _Request(sampling, uniform_1T[0].numpy(), output)
        for source, target, direction in batch_update.moved:
            moving, staying = self._requests.pop(source, None), self._requests.pop(target, None)
            if moving is not None:
                self._requests[target] = moving
            if staying is not None and direction == MoveDirectionality.SWAP:
                self._requests[source] = staying

    def apply(self, logits: Tensor) -> Tensor:
        requests = [self._requests[place] for place in range(len(logits))]
        (sampling,) = {request.sampling for request in requests}  # all requests of one call of `generate`
        uniform_N = torch.tensor([r.uniform_T[len(r.output)] for r in requests], dtype=torch.float64)
        token_N, logprob_N = draw(logits, uniform_N.to(logits.device), self._banned_B, sampling)
        return logits.fill_(-torch.inf).scatter_(1, token_N[:, None], logprob_N[:, None].to(logits.dtype))

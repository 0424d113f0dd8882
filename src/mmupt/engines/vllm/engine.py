"""Generation with vLLM, in this process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from mmupt.algo.packing import PackItem, pack
from mmupt.engines.base import Request, Sampling
from mmupt.engines.finished import Finished, with_texts
from mmupt.engines.vllm.host import VLLMHost
from mmupt.errors import EngineError
from mmupt.models.forward import no_grad_logprobs
from mmupt.models.loading import LoadedModel
from mmupt.runtime.phases import PhaseClock
from mmupt.types import EncodedPrompt, Rollout

_APART_FP32, _APART_BF16 = 1e-3, 0.25
"""Mean differences of log-probs that float error does not explain (measured: 1e-6 in fp32, 0.014 in bf16)."""
_CHUNK = 1024


@dataclass(slots=True, eq=False)
class VLLMEngine:
    """Samples from the weights of `loaded`, which the host takes over before the first rollout, after `release`, and
    after another engine has used it. For the same seeds it samples what the HF engine does, but for float error."""

    loaded: LoadedModel
    host: VLLMHost
    clock: PhaseClock = field(default_factory=PhaseClock)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        asked = [(request, seed) for request in requests for seed in request.seeds]
        finished: list[Finished] = []
        if asked:
            with self.clock("sync"):
                fresh = self.host.hold(self, self.loaded)
            with self.clock("decode"):
                finished = self._finished(asked, sampling)
            self.clock.add_tokens("decode", sum(len(f.token_ids) for f in finished))
            if fresh:
                with self.clock("sync"):
                    self._check(asked[0][0], finished[0], sampling)
        them = iter(finished)
        groups = [[next(them) for _ in request.seeds] for request in requests]
        return with_texts(groups, self.loaded.family.tokenizer)

    def release(self) -> None:
        self.host.let_go()

    def _finished(self, asked: Sequence[tuple[Request, int]], sampling: Sampling) -> list[Finished]:
        prompts = {id(request): self._prompt(request.encoded) for request, _ in asked}
        outputs = self.host.generate(
            [prompts[id(request)] for request, _ in asked],
            [self._params(seed, sampling) for _, seed in asked],
        )
        return [self._read(request.encoded, output) for (request, _), output in zip(asked, outputs, strict=True)]

    def _check(self, request: Request, finished: Finished, sampling: Sampling) -> None:
        """Behind new weights, one rollout goes through the trainer's forward. Weights that did not arrive, or a cache
        that survived, raise EngineError here instead of spoiling the run; what is smaller shows in the metric
        `mismatch_max`."""
        row = pack([PackItem(request.encoded, [finished.token_ids])])
        temperature = sampling.temperature or 1.0
        expected_T = no_grad_logprobs(self.loaded, row, temperature=temperature, chunk=_CHUNK).cpu()
        apart = float((expected_T - torch.tensor(finished.logprobs)).abs().mean())
        exact = self.loaded.dtype == torch.float32 and self.host.needs.settings.dtype in (None, "float32")
        if not apart <= (_APART_FP32 if exact else _APART_BF16):
            raise EngineError(
                f"vLLM samples from other weights than the trainer's: log-probs differ by {apart:.3g} on average; "
                'use rollout.engine = "hf", and please report this'
            )

    def _prompt(self, encoded: EncodedPrompt) -> dict[str, Any]:
        """As vLLM takes it: one placeholder a picture, and pictures that are resized already. A picture is known by the
        key of its content, so that its siblings' are not processed again."""
        family = self.loaded.family
        prompt: dict[str, Any] = {"prompt_token_ids": family.unexpanded(encoded)}
        if encoded.pictures:
            prompt["multi_modal_data"] = {"image": [family.image(picture) for picture in encoded.pictures]}
            prompt["multi_modal_uuids"] = {"image": [picture.key for picture in encoded.pictures]}
        return prompt

    def _params(self, seed: int, sampling: Sampling) -> Any:
        from vllm import SamplingParams

        from mmupt.engines.vllm.drawing import SAMPLING, SEED

        drawn = (sampling.temperature, sampling.top_p, sampling.max_new_tokens)
        return SamplingParams(
            temperature=0.0,  # takes the one token that the draw leaves
            max_tokens=sampling.max_new_tokens,
            logprobs=0,  # of the sampled token alone
            stop_token_ids=sorted(self.loaded.family.end_ids),
            ignore_eos=True,  # the ids above say where a rollout ends
            detokenize=False,
            extra_args={SEED: seed, SAMPLING: drawn},
        )

    def _read(self, encoded: EncodedPrompt, output: Any) -> Finished:
        if list(output.prompt_token_ids) != encoded.token_ids.tolist():
            raise EngineError(
                f"vLLM read a prompt of {len(output.prompt_token_ids)} tokens where the trainer has {encoded.length}: "
                'it treats this model\'s pictures differently; please report this, and use rollout.engine = "hf"'
            )
        (row,) = output.outputs
        token_ids = list(row.token_ids)
        logprobs = [step[token].logprob for token, step in zip(token_ids, row.logprobs, strict=True)]
        if not all(map(math.isfinite, logprobs)):
            raise EngineError(
                "vLLM computed log-probs that are not finite: the weights hold no finite numbers, or vLLM did not take "
                "all of them over"
            )
        return Finished(token_ids, logprobs, "end" if token_ids[-1] in self.loaded.family.end_ids else "length")

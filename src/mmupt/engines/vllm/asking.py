"""Prompts to vLLM and rollouts back, in this project's own terms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mmupt.engines.base import Request, Sampling
from mmupt.engines.finished import Finished
from mmupt.engines.vllm.host import VLLMHost
from mmupt.errors import EngineError
from mmupt.models.families.base import Family
from mmupt.types import EncodedPrompt


def ask(host: VLLMHost, family: Family, requests: Sequence[Request], sampling: Sampling) -> list[list[Finished]]:
    """Rollouts of each request, in the order of its seeds, from the weights that the host holds."""
    asked = [(request, seed) for request in requests for seed in request.seeds]
    if not asked:
        return [[] for _ in requests]
    inputs = {id(request): _input(host, family, request.encoded) for request in requests}
    outputs = host.generate(
        [inputs[id(request)] for request, _ in asked], [_params(family, seed, sampling) for _, seed in asked]
    )
    finished = (_read(family, output) for output in outputs)
    return [[next(finished) for _ in request.seeds] for request in requests]


def _input(host: VLLMHost, family: Family, encoded: EncodedPrompt) -> Any:
    """As vLLM's engine takes it: the trainer's ids and the trainer's pictures, which vLLM's processors never see. A
    picture is known by the key of its content, so that its siblings' do not go through the tower again."""
    from vllm.inputs import mm_input, tokens_input

    ids = encoded.token_ids.tolist()
    if not encoded.pictures:
        return tokens_input(ids)
    items = [host.picture(family.for_vllm(picture)) for picture in encoded.pictures]
    keys = [picture.key for picture in encoded.pictures]
    places = [host.place(at) for at in family.placeholders(encoded)]
    return mm_input(ids, {"image": items}, {"image": keys}, {"image": places})


def _params(family: Family, seed: int, sampling: Sampling) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    from mmupt.engines.vllm.drawing import SAMPLING, SEED

    drawn = (sampling.temperature, sampling.top_p, sampling.max_new_tokens)
    return SamplingParams(
        temperature=0.0,  # takes the one token that the draw leaves
        max_tokens=sampling.max_new_tokens,
        logprobs=0,  # of the sampled token alone
        stop_token_ids=sorted(family.end_ids),
        ignore_eos=True,  # the ids above say where a rollout ends
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
        extra_args={SEED: seed, SAMPLING: drawn},
    )


def _read(family: Family, output: Any) -> Finished:
    (row,) = output.outputs
    token_ids = list(row.token_ids)
    logprobs = [step[token].logprob for token, step in zip(token_ids, row.logprobs, strict=True)]
    if not all(map(math.isfinite, logprobs)):
        raise EngineError(
            "vLLM computed log-probs that are not finite: the weights hold no finite numbers, or vLLM did not take "
            "all of them over"
        )
    return Finished(token_ids, logprobs, "end" if token_ids[-1] in family.end_ids else "length")

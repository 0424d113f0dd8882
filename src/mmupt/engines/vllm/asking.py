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
    prompts = {id(request): _prompt(family, request.encoded) for request in requests}
    outputs = host.generate(
        [prompts[id(request)] for request, _ in asked],
        [_params(family, seed, sampling) for _, seed in asked],
    )
    finished = (_read(family, request.encoded, output) for (request, _), output in zip(asked, outputs, strict=True))
    return [[next(finished) for _ in request.seeds] for request in requests]


def _prompt(family: Family, encoded: EncodedPrompt) -> dict[str, Any]:
    """As vLLM takes it: one placeholder a picture, and pictures that are resized already. A picture is known by the key
    of its content, so that its siblings' are not processed again."""
    prompt: dict[str, Any] = {"prompt_token_ids": family.unexpanded(encoded)}
    if encoded.pictures:
        prompt["multi_modal_data"] = {"image": [family.image(picture) for picture in encoded.pictures]}
        prompt["multi_modal_uuids"] = {"image": [picture.key for picture in encoded.pictures]}
    return prompt


def _params(family: Family, seed: int, sampling: Sampling) -> Any:
    from vllm import SamplingParams

    from mmupt.engines.vllm.drawing import SAMPLING, SEED

    drawn = (sampling.temperature, sampling.top_p, sampling.max_new_tokens)
    return SamplingParams(
        temperature=0.0,  # takes the one token that the draw leaves
        max_tokens=sampling.max_new_tokens,
        logprobs=0,  # of the sampled token alone
        stop_token_ids=sorted(family.end_ids),
        ignore_eos=True,  # the ids above say where a rollout ends
        detokenize=False,
        extra_args={SEED: seed, SAMPLING: drawn},
    )


def _read(family: Family, encoded: EncodedPrompt, output: Any) -> Finished:
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
    return Finished(token_ids, logprobs, "end" if token_ids[-1] in family.end_ids else "length")

"""The model describes its pictures: descriptions to put in front of a question, and pairs of a good and a poor one.

STIC (arXiv 2405.19716). The image is described under a detailed prompt (preferred), and again under a prompt that asks
for what is not there or from a corrupted picture, as often the one as the other (rejected); the pair is learned under a
plain prompt and the clean picture.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from mmupt.data.columns import PLACEHOLDER
from mmupt.data.corruptions import corrupted
from mmupt.engines.base import Request
from mmupt.evals.responses import Response, response_of
from mmupt.rewards.judging import leading_pictures, unadorned
from mmupt.rewards.tools import Tools
from mmupt.runtime.seeds import derive_seed
from mmupt.selftrain.encoding import Refused, encode
from mmupt.selftrain.heard import Heard
from mmupt.selftrain.settings import MakingStage
from mmupt.types import Prompt

_HOLE = re.compile(r"\{(description|question)\}")


class Describer:
    """Asks for descriptions with the sampling of the stage, without `prompt.suffix`, which asks for reasoning and a
    box. What it draws for a prompt follows from (seed, prompt id)."""

    def __init__(self, stage: MakingStage, tools: Tools, *, seed: int) -> None:
        self._stage, self._tools, self._seed = stage, tools, seed
        self._encoder = unadorned(tools.encoder)

    def infuse(self, prompts: Sequence[Prompt]) -> list[Prompt | Refused]:
        """Each prompt with one description of its pictures in front of its question."""
        requests = [self._request(prompt, self._plain(prompt), "describe") for prompt in prompts]
        said = self._say(requests)
        infused: list[Prompt | Refused] = []
        for prompt, request in zip(prompts, requests, strict=True):
            if isinstance(request, Refused):
                infused.append(request)
                continue
            description = next(said).text.replace(PLACEHOLDER, " ").strip()
            infused.append(self._infused(prompt, description) if description else Refused("no description"))
        return infused

    def pairs(self, prompts: Sequence[Prompt]) -> list[Heard]:
        """Two responses each, the good description and the poor one; `how` says what made it poor."""
        heard: list[Heard] = []
        asked: list[Request | Refused] = []
        for prompt in prompts:
            plain = self._plain(prompt)
            looked_at, text, how = self._poor(prompt, plain)
            both = [
                self._request(prompt, self._stage.describing.good, "good"),
                self._request(looked_at, text, "poor"),
            ]
            refused = next((request.why for request in both if isinstance(request, Refused)), None)
            heard.append(Heard(_about(prompt, plain), how=how, refused=refused))
            asked += both if refused is None else []
        said = self._say(asked)
        return [h if h.refused else replace(h, responses=(next(said), next(said)), answers=(None, None)) for h in heard]

    def _poor(self, prompt: Prompt, plain: str) -> tuple[Prompt, str, str]:
        """Whose pictures are looked at under which text, and what is poor about it: a bad prompt about the clean
        picture, or a plain one about a corrupted picture."""
        settings = self._stage.describing
        rng = random.Random(derive_seed(self._seed, "poor", prompt.id))
        if settings.bad and (not settings.corruptions or rng.random() < 0.5):
            text = rng.choice(settings.bad)
            return prompt, text, f"bad prompt: {text}"
        name = rng.choice(settings.corruptions)
        pictures = tuple(
            corrupted(image, name, derive_seed(self._seed, "corruption", prompt.id, k))
            for k, image in enumerate(prompt.images)
        )
        return replace(prompt, images=pictures), plain, name

    def _plain(self, prompt: Prompt) -> str:
        return random.Random(derive_seed(self._seed, "plain", prompt.id)).choice(self._stage.describing.plain)

    def _infused(self, prompt: Prompt, description: str) -> Prompt:
        pictures, text = leading_pictures(prompt.question)
        filling = {"description": description, "question": text}
        infused = _HOLE.sub(lambda hole: filling[hole[1]], self._stage.describing.infused)
        return replace(prompt, question=pictures + infused)

    def _request(self, prompt: Prompt, text: str, name: str) -> Request | Refused:
        """One response to `text` about the pictures of the prompt."""
        if not prompt.images:
            return Refused("no picture")
        encoded = encode(_about(prompt, text), self._encoder, self._stage)
        if isinstance(encoded, Refused):
            return encoded
        return Request(encoded, (derive_seed(self._seed, name, prompt.id),))

    def _say(self, requests: Sequence[Request | Refused]) -> Iterator[Response]:
        """What is said to those that can be asked, in order."""
        asked = [request for request in requests if isinstance(request, Request)]
        return iter([response_of(said) for (said,) in self._tools.engine.generate(asked, self._tools.sampling)])


def _about(prompt: Prompt, text: str) -> Prompt:
    return Prompt(prompt.id, PLACEHOLDER * len(prompt.images) + text, prompt.images)

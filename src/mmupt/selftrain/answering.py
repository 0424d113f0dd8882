"""The model answers the questions of the data, K times each, and judges its answers where the stage wants it to."""

from __future__ import annotations

from collections.abc import Sequence

from mmupt.answers.extract import extract
from mmupt.engines.base import Request
from mmupt.errors import DataError
from mmupt.evals.responses import response_of
from mmupt.models.encoding import PromptTooLong
from mmupt.rewards.tools import Tools
from mmupt.runtime.seeds import derive_seed
from mmupt.selftrain.describing import Describer
from mmupt.selftrain.encoding import Refused, encode
from mmupt.selftrain.heard import Heard
from mmupt.selftrain.settings import MakingStage
from mmupt.selftrain.verdicts import Judge
from mmupt.types import EncodedPrompt, Prompt, Rollout


class Answerer:
    """`samples` answers a prompt (0: it is only described), with a description of its pictures in front where there is
    a `describer`, and scores where there is a `judge`. Seeds derive from (stage seed, prompt id, index)."""

    def __init__(
        self,
        stage: MakingStage,
        tools: Tools,
        *,
        seed: int,
        samples: int,
        describer: Describer | None = None,
        judge: Judge | None = None,
    ) -> None:
        self._stage, self._tools, self._seed, self._samples = stage, tools, seed, samples
        self._describer, self._judge = describer, judge

    def __call__(self, prompts: Sequence[Prompt]) -> list[Heard]:
        asked = self._describer.infuse(prompts) if self._describer is not None else list(prompts)
        encoded = [question if isinstance(question, Refused) else self._encode(question) for question in asked]
        answered = iter(self._answers([e for e in zip(prompts, encoded, strict=True)]))
        heard = []
        for prompt, question, request in zip(prompts, asked, encoded, strict=True):
            if isinstance(question, Refused):
                heard.append(Heard(prompt, refused=question.why))
            elif isinstance(request, Refused):
                heard.append(Heard(prompt, refused=request.why))
            else:
                heard.append(self._heard(question, next(answered)))
        return self._judge(heard) if self._judge is not None else heard

    def _encode(self, question: Prompt) -> EncodedPrompt | Refused:
        """A question that only its description has made too long, or unreadable, is no fault of the data."""
        if self._describer is None:
            return encode(question, self._tools.encoder, self._stage)
        try:
            return self._tools.encoder(question)
        except PromptTooLong:
            return Refused("too long with its description")
        except DataError:
            return Refused("bad with its description")

    def _answers(self, asked: Sequence[tuple[Prompt, EncodedPrompt | Refused]]) -> list[tuple[Rollout, ...]]:
        requests = [
            Request(encoded, tuple(derive_seed(self._seed, "own", prompt.id, i) for i in range(self._samples)))
            for prompt, encoded in asked
            if not isinstance(encoded, Refused)
        ]
        if not self._samples:
            return [()] * len(requests)
        return self._tools.engine.generate(requests, self._tools.sampling)

    def _heard(self, question: Prompt, rollouts: Sequence[Rollout]) -> Heard:
        responses = tuple(map(response_of, rollouts))
        mode, choices = self._stage.answers.extract, question.choices
        return Heard(question, responses, tuple(extract(r.text, mode, choices=choices).answer for r in responses))

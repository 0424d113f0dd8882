"""Groups without a model, groups of the tiny one, and the tools that rewards are given."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from mmupt.algo.packing import PackItem
from mmupt.data.settings import PromptSettings
from mmupt.engines.base import Request, Sampling
from mmupt.engines.hf import HFEngine
from mmupt.engines.settings import RolloutSettings
from mmupt.models.encoding import PromptEncoder
from mmupt.models.loading import LoadedModel
from mmupt.models.start import StartModel
from mmupt.rewards.tools import Tools
from mmupt.runtime.phases import PhaseClock
from mmupt.types import EncodedPrompt, Prompt, Role, Rollout, RolloutGroup, StopReason

NO_TENSORS = cast(EncodedPrompt, None)  # votes do not look at tensors

GroupOf = Callable[..., RolloutGroup]


@pytest.fixture
def group_of() -> GroupOf:
    """`group_of(responses, id="p", choices=None, visit=0, role="answer", logprobs=None)`."""

    def _group(
        responses: Sequence[str],
        *,
        id: str = "p",
        choices: tuple[str, ...] | None = None,
        visit: int = 0,
        role: Role = "answer",
        logprobs: Sequence[Sequence[float]] | None = None,
    ) -> RolloutGroup:
        rollouts = tuple(
            Rollout(tuple(range(1, len(given) + 1)), tuple(given), text, "end")
            for text, given in zip(responses, logprobs or [(0.0,)] * len(responses), strict=True)
        )
        return RolloutGroup(Prompt(id, "How many?", choices=choices), NO_TENSORS, rollouts, visit=visit, role=role)

    return _group


@pytest.fixture
def boxed() -> Callable[..., list[str]]:
    """`boxed("3", None)`: a response for each answer, None for one without."""
    return lambda *answers: ["no answer" if a is None else rf"so \boxed{{{a}}}" for a in answers]


@pytest.fixture
def random_group(group_of: GroupOf) -> Callable[[int], RolloutGroup]:
    """`random_group(seed)`: 2 to 9 rollouts that say 1, 2, 3 or nothing, in their own words, with log-probs."""

    def _group(seed: int) -> RolloutGroup:
        rng = random.Random(seed)
        words = ["one", "two", "red", "blue", "dice", "add", "then", "makes", "so", "3+4=7", "total"]
        texts, logprobs = [], []
        for _ in range(rng.randint(2, 9)):
            answer = rng.choice([r"\boxed{1}", r"\boxed{1.0}", r"\boxed{2}", r"\boxed{3}", "nothing"])
            texts.append(" ".join(rng.choices(words, k=rng.randint(0, 12))) + " " + answer)
            logprobs.append([-rng.expovariate(1.0) for _ in range(rng.randint(1, 6))])
        return group_of(texts, id=f"p{seed}", logprobs=logprobs)

    return _group


@pytest.fixture
def tiny_groups(random_items: Callable[[int], list[PackItem]]) -> Callable[[int], list[RolloutGroup]]:
    """`tiny_groups(seed)`: three groups of random tokens, pictures and all, for the tiny model."""

    def _groups(seed: int) -> list[RolloutGroup]:
        return [
            RolloutGroup(
                Prompt(f"p{seed}-{k}", "Add all dice."),
                item.encoded,
                tuple(
                    Rollout(tuple(c), (-1.0,) * len(c), rf"\boxed{{{i % 2}}}", "end")
                    for i, c in enumerate(item.completions)
                ),
            )
            for k, item in enumerate(random_items(seed))
        ]

    return _groups


@pytest.fixture
def make_tools(tiny: LoadedModel) -> Callable[..., Tools]:
    """`make_tools(temperature=0.7, ...)`: tools over the tiny model, keys of `Tools` and `[rollout]` as wished."""

    def _tools(**changes: Any) -> Tools:
        rollout = {"group_size": 3, "max_new_tokens": 4, "temperature": 0.7, "top_p": 1.0}
        for key in list(changes):
            if key in RolloutSettings.model_fields and key != "engine":  # which names one in a recipe
                rollout[key] = changes.pop(key)
        clock = PhaseClock()

        def engine_of(loaded: LoadedModel) -> HFEngine:
            return HFEngine(loaded, 16, clock)

        first = copy.deepcopy(tiny.model)
        values: dict[str, Any] = {
            "loaded": tiny,
            "encoder": PromptEncoder(tiny.family, PromptSettings(min_pixels=56 * 56, max_pixels=50_000)),
            "engine": engine_of(tiny),
            "engine_of": engine_of,
            "start": StartModel(tiny, lambda: first),
            "rollout": RolloutSettings.model_validate(rollout),
            "micro_batch_tokens": 4096,
            "logprob_chunk": 64,
            "clock": clock,
        }
        return Tools(**{**values, **changes})

    return _tools


@dataclass
class ScriptedEngine:
    """Answers with what a test has written. `say` is given the text of the prompt as the model would see it, and a
    seed; `requests` and `samplings` keep what was asked."""

    tokenizer: Any
    say: Callable[[str, int], str]
    requests: list[Request] = field(default_factory=list)
    samplings: list[Sampling] = field(default_factory=list)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        self.requests += requests
        self.samplings += [sampling] * len(requests)
        return [tuple(self._rollout(request, seed) for seed in request.seeds) for request in requests]

    def texts(self) -> list[str]:
        """The prompts that were asked so far."""
        return [self._text(request) for request in self.requests]

    def _text(self, request: Request) -> str:
        text: str = self.tokenizer.decode(request.encoded.token_ids, skip_special_tokens=True)
        return text.removeprefix("user\n").removesuffix("\nassistant\n")

    def _rollout(self, request: Request, seed: int) -> Rollout:
        text = self.say(self._text(request), seed)
        stop: StopReason = "length" if text.endswith("...") else "end"
        return Rollout((1,), (0.0,), text, stop)


@pytest.fixture
def scripted(tiny: LoadedModel) -> Callable[[Callable[[str, int], str]], ScriptedEngine]:
    """`scripted(say)`: an engine without a model; a text that ends in "..." was cut off."""
    return lambda say: ScriptedEngine(tiny.family.tokenizer, say)

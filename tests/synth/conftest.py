"""Pictures of the world, and an engine that says what a test has written."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mmupt.data.settings import PromptSettings
from mmupt.engines.base import Request, Sampling
from mmupt.models.encoding import PromptEncoder
from mmupt.models.loading import LoadedModel
from mmupt.runtime.progress import Progress
from mmupt.synth.report import SynthReport
from mmupt.synth.settings import SynthStage
from mmupt.synth.stage import write_questions
from mmupt.types import ImageSource, LabeledPrompt, Prompt, Rollout, StopReason
from mmupt.world.draw import png_bytes
from mmupt.world.kinds.dice import Dice

SMALL = PromptSettings(suffix="", min_pixels=3136, max_pixels=3136)


def dice(number: int) -> ImageSource:
    return ImageSource(data=png_bytes(Dice.random(Random(f"synth {number}")).draw()))


@pytest.fixture
def make_stage() -> Callable[..., SynthStage]:
    """A stage of small groups in the world's words, changed as wished: `make_stage(mode="direct", filters={...})`."""

    def _stage(**changes: Any) -> SynthStage:
        return SynthStage.model_validate(
            {
                "kind": "synth",
                "name": "write",
                "data": {"path": "given"},
                "prompt": SMALL,
                "rollout": {
                    "group_size": 4,
                    "max_new_tokens": 8,
                    "prompts_at_once": 2,
                    "temperature": 0.5,
                    "top_p": 1.0,
                },
                "templates": {"direct": "Ask!", "in_context": "Ask another than: {question} ({answer})"},
                "filters": {"reference": "off"},
                "candidates": 2,
                **changes,
            }
        )

    return _stage


@pytest.fixture
def prompts() -> list[Prompt]:
    """Five pictures, each with the question "Add all dice."."""
    return [Prompt(f"p{i}", "<image>Add all dice.", (dice(i),)) for i in range(5)]


@dataclass
class ScriptedEngine:
    """`say(text, pictured, seed)` is given the text of the prompt, whether a picture is there, and a seed. A text that
    ends in "..." was cut off."""

    tokenizer: Any
    say: Callable[[str, bool, int], str]
    asked: list[tuple[str, bool, int]] = field(default_factory=list)  # text, pictured, rollouts
    samplings: list[Sampling] = field(default_factory=list)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        found = []
        self.samplings.append(sampling)
        for request in requests:
            text = self.tokenizer.decode(request.encoded.token_ids, skip_special_tokens=True)
            text = text.removeprefix("user\n").removesuffix("\nassistant\n")
            pictured = bool(request.encoded.pictures)
            self.asked.append((text, pictured, len(request.seeds)))
            found.append(tuple(self._rollout(self.say(text, pictured, seed)) for seed in request.seeds))
        return found

    def _rollout(self, text: str) -> Rollout:
        stop: StopReason = "length" if text.endswith("...") else "end"
        return Rollout((1,), (0.0,), text, stop)


@pytest.fixture
def encoder(tiny: LoadedModel) -> PromptEncoder:
    return PromptEncoder(tiny.family, SMALL)


@pytest.fixture
def scripted(tiny: LoadedModel) -> Callable[[Callable[[str, bool, int], str]], ScriptedEngine]:
    return lambda say: ScriptedEngine(tiny.family.tokenizer, say)


@pytest.fixture
def run(encoder: PromptEncoder, tmp_path: Path) -> Callable[..., SynthReport]:
    """`run(stage, rows, engine, folder="out")`: the whole stage into a folder of the test's."""

    def _run(
        stage: SynthStage,
        rows: Sequence[Prompt] | Sequence[LabeledPrompt],
        engine: Any,
        folder: str = "out",
        **changes: Any,
    ) -> SynthReport:
        values: dict[str, Any] = {"model": "tiny", "seed": 7, "progress": Progress(io.StringIO()), **changes}
        return write_questions(stage, rows, encoder, engine, tmp_path / folder, **values)

    return _run

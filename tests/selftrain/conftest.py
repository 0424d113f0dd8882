"""What a model said, by hand; and a stage with an engine that says what a test has written."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mmupt.engines.base import Request, Sampling
from mmupt.engines.hf import HFEngine
from mmupt.evals.responses import Response
from mmupt.models.encoding import PromptEncoder
from mmupt.models.loading import LoadedModel
from mmupt.models.start import StartModel
from mmupt.rewards.tools import Tools
from mmupt.runtime.metrics import MetricsLog
from mmupt.runtime.phases import PhaseClock
from mmupt.runtime.progress import Progress
from mmupt.runtime.run_folder import RunFolder
from mmupt.selftrain.heard import Heard
from mmupt.selftrain.settings import MakingStage, PairsStage, TargetsStage
from mmupt.train.context import StageContext
from mmupt.types import ImageSource, LabeledPrompt, Prompt, Rollout, StopReason
from mmupt.world.draw import png_bytes
from mmupt.world.kinds.dice import Dice


def picture(k: int) -> ImageSource:
    return ImageSource(data=png_bytes(Dice((1 + k % 6, 5, 1, 1 + k // 6), ("red", "blue", "blue", "red")).draw()))


@pytest.fixture
def heard_of() -> Callable[..., Heard]:
    """`heard_of("3", None, scores=(0.5, 0.1), cut=(0,))`: a response for each answer, told apart by its index; those in
    `cut` were cut off."""

    def _heard(
        *answers: str | None,
        id: str = "p",
        scores: Sequence[float | None] | None = None,
        cut: Sequence[int] = (),
        texts: Sequence[str] | None = None,
        choices: tuple[str, ...] | None = None,
        how: str | None = None,
    ) -> Heard:
        texts = texts or [f"way {i} to {answer}" for i, answer in enumerate(answers)]
        responses = tuple(Response(text, "length" if i in cut else "end", 5) for i, text in enumerate(texts))
        scored = tuple(scores) if scores is not None else None
        return Heard(Prompt(id, "How many?", choices=choices), responses, tuple(answers), scored, how)

    return _heard


@dataclass
class Scripted:
    """Answers with what a test has written: `say(text of the prompt, seed)`. A text that ends in "..." was cut off."""

    tokenizer: Any
    say: Callable[[str, int], str]
    asked: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        self.requests += requests
        texts = [self._heard(request) for request in requests]
        return [
            tuple(self._rollout(text, seed) for seed in request.seeds)
            for text, request in zip(texts, requests, strict=True)
        ]

    def _heard(self, request: Request) -> str:
        text: str = self.tokenizer.decode(request.encoded.token_ids, skip_special_tokens=True)
        self.asked.append(text.removeprefix("user\n").removesuffix("\nassistant\n"))
        return self.asked[-1]

    def _rollout(self, text: str, seed: int) -> Rollout:
        said = self.say(text, seed)
        stop: StopReason = "length" if said.endswith("...") else "end"
        return Rollout((1,), (0.0,), said, stop)


Say = Callable[[str, int], str]


@dataclass
class Workshop:
    """One stage with all that it is given."""

    stage: Any
    tools: Tools
    context: StageContext
    engine: Any

    @property
    def file(self) -> Path:
        return self.context.run.made(self.stage.name) / "train.jsonl"


@pytest.fixture
def workshop(tiny: LoadedModel, tmp_path: Path) -> Iterator[Callable[..., Workshop]]:
    """`workshop(say, kind="targets", keep="majority", ...)`: the stage with these settings over the tiny model, in the
    run folder `run`; `say` None lets the model speak for itself."""
    open_folders: list[Any] = []

    def _workshop(say: Say | None, *, run: str = "run", seed: int = 7, **settings: Any) -> Workshop:
        values: dict[str, Any] = {
            "name": "make",
            "data": {"path": "given by the test"},
            "prompt": {"suffix": "", "min_pixels": 3136, "max_pixels": 3136, "max_tokens": 400},
            "rollout": {"group_size": 4, "prompts_at_once": 2, "max_new_tokens": 6, "temperature": 1.0},
        }
        for key, value in settings.items():
            values[key] = {**values[key], **value} if isinstance(value, dict) and key in values else value
        stage: MakingStage = (TargetsStage if values["kind"] == "targets" else PairsStage).model_validate(values)
        clock = PhaseClock()

        def engine_of(loaded: LoadedModel) -> HFEngine:
            return HFEngine(loaded, 4, clock)

        engine: Any = engine_of(tiny) if say is None else Scripted(tiny.family.tokenizer, say)
        tools = Tools(
            loaded=tiny,
            encoder=PromptEncoder(tiny.family, stage.prompt),
            engine=engine,
            engine_of=engine_of,
            start=StartModel(tiny, lambda: tiny.model),
            rollout=stage.rollout,
            micro_batch_tokens=stage.micro_batch_tokens,
            logprob_chunk=stage.logprob_chunk,
            clock=clock,
        )
        for thing in open_folders:
            thing.close()
        root = tmp_path / run
        folder = RunFolder.resume(root, "x = 1\n") if root.exists() else RunFolder.create(root, "x = 1\n", 0)
        metrics = MetricsLog(folder.metrics)
        open_folders[:] = [metrics, folder]
        context = StageContext(folder, metrics, Progress(io.StringIO()), stage.name, seed)
        return Workshop(stage, tools, context, engine)

    yield _workshop
    for thing in open_folders:
        thing.close()


@pytest.fixture
def questions() -> list[LabeledPrompt]:
    """Five questions about pictures; the answer to question k is k, its solution says so, its meta is carried on."""
    return [
        LabeledPrompt(
            Prompt(f"q{k}", f"<image>Question {k}?", (picture(k),)),
            answer=str(k),
            solution=f"it is {k} \\boxed{{{k}}}",
            meta={"level": k},
        )
        for k in range(5)
    ]

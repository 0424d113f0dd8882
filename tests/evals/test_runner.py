"""The figures of an evaluation, against hand-made answers from a scripted engine."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from mmupt.engines.base import Request, Sampling
from mmupt.errors import DataError
from mmupt.evals.runner import Evaluation, evaluate
from mmupt.evals.settings import EvaluationSettings
from mmupt.evals.statistics import estimate
from mmupt.models.encoding import PromptTooLong
from mmupt.runtime.progress import Progress
from mmupt.types import EncodedPrompt, LabeledPrompt, Prompt, Rollout


@dataclass
class ScriptedEngine:
    """Answers question i with `answers[i]`: the greedy one, then the samples. None stands for text without a box."""

    answers: dict[int, tuple[str | None, list[str | None]]]

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        groups = []
        for request in requests:
            greedy, samples = self.answers[int(request.encoded.token_ids[0])]
            given = [greedy] if sampling.temperature == 0 else samples
            assert len(given) == len(request.seeds)
            groups.append(tuple(Rollout((1,), (0.0,), "?" if a is None else f"\\boxed{{{a}}}", "end") for a in given))
        return groups


def encoder(prompt: Prompt) -> EncodedPrompt:
    if prompt.id == "long":
        raise PromptTooLong("too long")
    if prompt.id == "broken":
        raise DataError("broken")
    return EncodedPrompt(torch.tensor([int(prompt.id)]), torch.zeros(3, 1, dtype=torch.long), 1, {})


def run(
    answers: dict[int, tuple[str | None, list[str | None]]], rows: list[LabeledPrompt], **settings: object
) -> Evaluation:
    values = {"data": {"path": "x"}, "samples": 4, "prompts_at_once": 2, **settings}
    evaluation = EvaluationSettings.model_validate(values)
    progress = Progress(io.StringIO())
    return evaluate("m", rows, encoder, ScriptedEngine(answers), evaluation, seed=0, progress=progress)  # type: ignore[arg-type]


ANSWERS: dict[int, tuple[str | None, list[str | None]]] = {
    0: ("5", ["5", "5.0", "4", None]),  # gold 5: greedy right, mean 2/4, majority right, pass
    1: ("7", ["6", "6", "3", "3"]),  # gold 6: greedy wrong, mean 2/4, a tie of two of which one is right, pass
    2: (None, ["1", "1", "1", "2"]),  # gold 2: no greedy answer, mean 1/4, majority wrong, pass
    3: ("9", [None, None, None, None]),  # gold 9: greedy right, nothing readable
}
ROWS = [LabeledPrompt(Prompt(str(i), "?"), gold) for i, gold in enumerate(["5", "6", "2", "9"])]


def test_figures_are_the_definitions() -> None:
    result = run(ANSWERS, ROWS)
    values = {name: e.value for name, e in result.figures.items()}
    assert values == pytest.approx({"greedy": 2 / 4, "mean@4": 5 / 16, "maj@4": (1 + 0.5 + 0 + 0) / 4, "pass@4": 3 / 4})
    assert result.unreadable == pytest.approx(5 / 16)
    summary = result.summary()
    assert summary["n"] == 4 and summary["skipped"] == 0
    low, high = summary["greedy_interval"]  # type: ignore[misc]
    assert low <= 0.5 <= high


def test_what_cannot_be_asked_is_counted_or_stops() -> None:
    rows = [*ROWS, LabeledPrompt(Prompt("long", "?"), "1"), LabeledPrompt(Prompt("broken", "?"), "1")]
    skipping = {"prompt": {"too_long": "skip"}, "data": {"path": "x", "bad_rows": "skip"}}
    result = run(ANSWERS, rows, **skipping)
    assert result.skipped == 2 and len(result.questions) == 4
    with pytest.raises(PromptTooLong):
        run(ANSWERS, rows, data={"path": "x", "bad_rows": "skip"})
    with pytest.raises(DataError, match="broken"):
        run(ANSWERS, rows, prompt={"too_long": "skip"})
    with pytest.raises(DataError, match="none of its 1 questions"):
        run(ANSWERS, rows[-1:], **skipping)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """200 samples of 60 coin flips: the 95 % interval holds the true rate nearly always, and not by being wide."""
    rng = np.random.default_rng(0)
    held, widths = 0, []
    for i in range(200):
        e = estimate((rng.random(60) < 0.3).astype(float), resamples=300, seed=i)
        held += e.low <= 0.3 <= e.high
        widths.append(e.high - e.low)
    assert 0.88 <= held / 200 <= 0.99
    assert np.mean(widths) == pytest.approx(2 * 1.96 * (0.3 * 0.7 / 60) ** 0.5, rel=0.15)


def test_an_interval_is_the_same_every_time() -> None:
    scores = np.array([0.0, 1.0, 1.0, 0.5])
    assert estimate(scores, resamples=100, seed=3) == estimate(scores, resamples=100, seed=3)

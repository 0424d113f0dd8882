"""Questions are encoded ahead of the model, which changes neither what is asked nor where a bad row stops it."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from mmupt.data.dataset import DataSet
from mmupt.engines.base import Request, Sampling
from mmupt.errors import DataError
from mmupt.evals.answering import answer_questions
from mmupt.evals.responses import Responses
from mmupt.evals.sets import EvaluationSet
from mmupt.evals.settings import EvaluationSettings
from mmupt.runtime.progress import Progress
from mmupt.types import EncodedPrompt, LabeledPrompt, Prompt, Rollout


@dataclass
class Encoder:
    """Refuses `bad` rows; `reached` is set when row `announced` is encoded."""

    bad: frozenset[str] = frozenset()
    announced: str = ""
    encoded: list[str] = field(default_factory=list)
    reached: threading.Event = field(default_factory=threading.Event)

    def __call__(self, prompt: Prompt) -> EncodedPrompt:
        if prompt.id in self.bad:
            raise DataError(f"{prompt.id} is bad")
        self.encoded.append(prompt.id)
        if prompt.id == self.announced:
            self.reached.set()
        return EncodedPrompt(torch.tensor([int(prompt.id)]), torch.zeros(3, 1, dtype=torch.long), 1)


@dataclass
class Engine:
    """Says the number of the question; before its first answer it waits for `until`."""

    until: threading.Event | None = None
    asked: list[list[int]] = field(default_factory=list)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        if self.until is not None:
            assert self.until.wait(30)
        numbers = [int(request.encoded.token_ids[0]) for request in requests]
        if sampling.temperature == 0:
            self.asked.append(numbers)
        return [
            tuple(Rollout((1,), (0.0,), f"{number} {seed % 1000}", "end") for seed in request.seeds)
            for number, request in zip(numbers, requests, strict=True)
        ]


def answer(
    encoder: Encoder, engine: Engine, parts: Path | None = None, **settings: object
) -> list[tuple[str, Responses]]:
    rows = tuple(LabeledPrompt(Prompt(str(i), "?"), "1") for i in range(7))
    values = {"data": {"path": "x"}, "samples": 2, "prompts_at_once": 2, **settings}
    evaluation = EvaluationSettings.model_validate(values)
    assert evaluation.data is not None
    questions = EvaluationSet("x", DataSet(rows, (), "x"), evaluation.data.bad_rows)
    answered = answer_questions(
        questions, encoder, engine, evaluation, name="x", seed=0, progress=Progress(io.StringIO()), parts=parts  # type: ignore[arg-type]
    )  # fmt: skip
    return [(row.prompt.id, responses) for row, responses in answered]


def test_the_next_part_is_encoded_while_the_model_answers() -> None:
    encoder = Encoder(announced="3")
    engine = Engine(until=encoder.reached)  # the first answer waits for the second part
    assert [name for name, _ in answer(encoder, engine)] == list("0123456")
    assert engine.asked == [[0, 1], [2, 3], [4, 5], [6]]


def test_a_bad_row_stops_at_its_part_and_what_came_before_is_kept(tmp_path: Path) -> None:
    engine = Engine()
    with pytest.raises(DataError, match="4 is bad"):
        answer(Encoder(bad=frozenset("4")), engine, tmp_path)
    assert engine.asked == [[0, 1], [2, 3]]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["000000.parquet", "000002.parquet"]

    again, rest = Encoder(), Engine()
    resumed = answer(again, rest, tmp_path)
    assert again.encoded == list("456") and rest.asked == [[4, 5], [6]], "what is kept is not even encoded"
    assert resumed == answer(Encoder(), Engine())


def test_a_part_in_the_middle_that_is_missing_is_asked_again(tmp_path: Path) -> None:
    calm = answer(Encoder(), Engine(), tmp_path)
    (tmp_path / "000002.parquet").unlink()
    encoder = Encoder()
    assert answer(encoder, Engine(), tmp_path) == calm
    assert encoder.encoded == list("23")


def test_bad_rows_are_left_out_where_allowed() -> None:
    engine = Engine()
    answered = answer(Encoder(bad=frozenset("013")), engine, data={"path": "x", "bad_rows": "skip"})
    assert [name for name, _ in answered] == list("2456") and engine.asked == [[2], [4, 5], [6]]

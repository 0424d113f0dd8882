"""The figures of an evaluation, against hand-made answers from a scripted engine."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from mmupt.data.dataset import DataSet
from mmupt.data.settings import DataSettings
from mmupt.engines.base import Request, Sampling
from mmupt.errors import DataError, RunFolderError
from mmupt.evals.benchmarks.base import Answered, Benchmark, Rule
from mmupt.evals.records import read_records, write_records
from mmupt.evals.runner import Evaluation, Places, evaluate
from mmupt.evals.sets import EvaluationSet
from mmupt.evals.settings import EvaluationSettings
from mmupt.models.encoding import PromptTooLong
from mmupt.runtime.progress import Progress
from mmupt.types import EncodedPrompt, ImageSource, LabeledPrompt, Prompt, Rollout

Answers = dict[int, tuple[str | None, list[str | None]]]


@dataclass
class ScriptedEngine:
    """Answers question i with `answers[i]`: the greedy one, then the samples. None stands for text without a box.
    After `fails_at` calls it breaks down."""

    answers: Answers
    fails_at: int = 10**9
    asked: list[int] = field(default_factory=list)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[tuple[Rollout, ...]]:
        if sampling.temperature == 0 and len(self.asked) >= self.fails_at:
            raise KeyboardInterrupt
        groups = []
        for request in requests:
            number = int(request.encoded.token_ids[0])
            greedy, samples = self.answers[number]
            if sampling.temperature == 0:
                self.asked.append(number)
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
    answers: Answers | ScriptedEngine,
    rows: list[LabeledPrompt],
    *,
    benchmark: Benchmark | None = None,
    places: Places | None = None,
    **settings: object,
) -> Evaluation:
    values = {"data": {"path": "x"}, "samples": 4, "prompts_at_once": 2, **settings}
    evaluation = EvaluationSettings.model_validate(values)
    engine = answers if isinstance(answers, ScriptedEngine) else ScriptedEngine(answers)
    bad_rows = evaluation.data.bad_rows if evaluation.data is not None else "stop"
    questions = EvaluationSet("x", DataSet(tuple(rows), (), "x"), bad_rows, benchmark)
    progress = Progress(io.StringIO())
    return evaluate("m", questions, encoder, engine, evaluation, seed=0, progress=progress, places=places)  # type: ignore[arg-type]


ANSWERS: Answers = {
    0: ("5", ["5", "5.0", "4", None]),  # gold 5: greedy right, mean 2/4, majority right, pass
    1: ("7", ["6", "6", "3", "3"]),  # gold 6: greedy wrong, mean 2/4, a tie of two of which one is right, pass
    2: (None, ["1", "1", "1", "2"]),  # gold 2: no greedy answer, mean 1/4, majority wrong, pass
    3: ("9", [None, None, None, None]),  # gold 9: greedy right, nothing readable
}
ROWS = [
    LabeledPrompt(Prompt(str(i), "?"), gold, meta={"level": level, "tags": tags})
    for i, (gold, level, tags) in enumerate(
        [("5", 1, ["a", "b"]), ("6", 2, ["a"]), ("2", 1, []), ("9", 2, ["b"])],
    )
]


def test_figures_are_the_definitions() -> None:
    result = run(ANSWERS, ROWS)
    values = {name: e.value for name, e in result.figures.items()}
    assert values == pytest.approx({"greedy": 2 / 4, "mean@4": 5 / 16, "maj@4": (1 + 0.5 + 0 + 0) / 4, "pass@4": 3 / 4})
    assert result.unreadable == pytest.approx(5 / 16)
    summary = result.summary()
    assert summary["n"] == 4 and summary["skipped"] == 0
    low, high = summary["greedy_interval"]  # type: ignore[misc]
    assert low <= 0.5 <= high


def test_breakdowns_count_a_question_under_each_of_its_values() -> None:
    result = run(ANSWERS, [*ROWS[:3], LabeledPrompt(Prompt("3", "?", choices=("9", "8")), "A", meta=ROWS[3].meta)],
                 breakdowns=["level", "tags", "absent"])  # fmt: skip
    counts = {key: {value: part.count for value, part in parts.items()} for key, parts in result.breakdowns.items()}
    assert counts == {"type": {"choice": 1, "open": 3}, "level": {"1": 2, "2": 2}, "tags": {"a": 2, "b": 2}}
    assert result.breakdowns["level"]["1"].figures["mean@4"].value == pytest.approx((2 / 4 + 1 / 4) / 2)
    assert result.breakdowns["tags"]["b"].figures["greedy"].value == 1.0
    plain = json.loads(json.dumps(result.summary()))["breakdowns"]["level"]["2"]
    assert plain["n"] == 2 and plain["mean@4"] == pytest.approx(1 / 4)


def short(row: Answered) -> bool:
    return row.answer is not None and len(row.answer) == 1


BENCHMARK = Benchmark(
    name="toy",
    title="Toy",
    paper="",
    data=DataSettings(path="hub:a/b"),
    source_columns=frozenset(),
    convert=dict,
    breakdowns=("level",),
    rules=(Rule("short", short),),
    metric=lambda column: {"right": sum(row.correct for row in column) / len(column)},
)


def test_a_benchmark_brings_its_own_scores() -> None:
    result = run(ANSWERS, ROWS, benchmark=BENCHMARK)
    assert result.name == "m.toy" and list(result.breakdowns) == ["level"]
    assert {name: e.value for name, e in result.by_rule["short"].items()} == pytest.approx(
        {"greedy": 3 / 4, "mean@4": (2 + 4 + 4) / 16, "pass@4": 3 / 4}
    )
    assert result.metric == {"greedy": {"right": 0.5}, "mean@4": {"right": pytest.approx(5 / 16)}}
    assert result.summary()["rules"]["short"]["greedy"] == pytest.approx(3 / 4)  # type: ignore[index]


def test_records_hold_everything(tmp_path: Path) -> None:
    rows = [*ROWS[:3], LabeledPrompt(Prompt("3", "\ud800?", (ImageSource(data=b"png"),), ("9", "8")), "A", unit="km")]
    result = run(ANSWERS, rows, benchmark=BENCHMARK)
    write_records(tmp_path / "m.parquet", "x", result.questions)
    first, tied, _, last = read_records(tmp_path / "m.parquet")
    assert first["correct"] == [True, True, False, False] and first["answers"] == ["5", "5.0", "4", None]
    assert first["samples"][1] == {"text": "\\boxed{5.0}", "stop": "end", "num_tokens": 1}
    assert first["majority"] == "5" and json.loads(first["meta"]) == {"level": 1, "tags": ["a", "b"]}
    assert tied["tie"] and tied["majority"] is None and tied["majority_correct"] == 0.5
    assert dict(first["rules"])["short"] == {"greedy": True, "samples": [True, False, True, False]}
    assert last["question"] == "�?" and last["choices"] == ["9", "8"] and last["unit"] == "km"
    assert last["images"] == [{"path": None, "bytes": b"png"}] and last["judged"] is None
    with pytest.raises(RunFolderError, match="no column nonsense"):
        read_records(tmp_path / "m.parquet", ["nonsense"])
    with pytest.raises(RunFolderError, match="no such measurement"):
        read_records(tmp_path / "other.parquet")


def test_an_interrupted_measurement_goes_on(tmp_path: Path) -> None:
    places = Places(tmp_path / "parts", tmp_path / "judge.jsonl")
    rows = [*ROWS, LabeledPrompt(Prompt("long", "?"), "1")]
    settings = {"prompt": {"too_long": "skip"}}
    first = ScriptedEngine(ANSWERS, fails_at=2)
    with pytest.raises(KeyboardInterrupt):
        run(first, rows, places=places, **settings)
    second = ScriptedEngine(ANSWERS)
    resumed = run(second, rows, places=places, **settings)
    assert first.asked == [0, 1] and second.asked == [2, 3]
    undisturbed = run(ANSWERS, rows, **settings)
    assert resumed == undisturbed and resumed.skipped == 1
    third = ScriptedEngine(ANSWERS)
    assert run(third, rows, places=places, **settings) == undisturbed and third.asked == []
    with pytest.raises(RunFolderError, match="the data has changed"):
        run(ANSWERS, list(reversed(rows)), places=places, **settings)
    (tmp_path / "parts" / "000000.parquet").write_bytes(b"PAR1")
    with pytest.raises(RunFolderError, match=r"000000\.parquet"):
        run(ANSWERS, rows, places=places, **settings)


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

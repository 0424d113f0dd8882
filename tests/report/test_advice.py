"""What the report concludes from numbers, and what it does not."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmupt.evals.records import read_records
from mmupt.report.advice import Note, what_to_know
from mmupt.report.comparison import paired_change, verdict
from mmupt.report.reading import RunData, read_run
from mmupt.runtime.files import write_json
from mmupt.runtime.metrics import MetricsLog
from mmupt.runtime.run_folder import RunFolder
from mmupt.types import Prompt

HEALTHY = {"reward": 0.6, "share": 0.6, "semantic_entropy": 0.8, "unreadable": 0.02, "truncated": 0.0, "length": 17.0}
RECIPE = 'name = "x"\n[[stages]]\nkind = "upt"\nname = "upt"\nsteps = 20\n[stages.answers]\nextract = "boxed"\n'

Make = Callable[..., list[Note]]


@pytest.fixture
def notes(tmp_path: Path) -> Make:
    """The notes on a run of 20 upt steps with `first` in the first half and `last` in the second."""

    def make(
        first: dict[str, float], last: dict[str, float] | None = None, results: Any = (), recipe: str = RECIPE
    ) -> Any:
        run = RunFolder.create(tmp_path / "run", recipe, seed=0)
        with MetricsLog(run.metrics) as log:
            for step in range(1, 21):
                fields = {**HEALTHY, **(first if step <= 10 or last is None else last)}
                log.append({"stage": "upt", "kind": "upt", "step": step, **fields})
        write_json(run.summary, {"stages": list(results)})
        return what_to_know(read_run(run.root))

    return make


def titles(notes: list[Note]) -> list[tuple[str, str]]:
    return [(note.level, note.title) for note in notes]


def test_a_healthy_run_gets_no_warning(notes: Make) -> None:
    assert titles(notes({})) == [("good", "No warning signs")]


@pytest.mark.parametrize(
    ("first", "last", "level", "title"),
    [
        ({"unreadable": 0.85}, None, "bad", "almost no answer could be read"),
        ({"unreadable": 0.5}, None, "watch", "many answers could not be read"),
        ({"truncated": 0.3}, None, "watch", "many responses were cut off"),
        ({"zero_signal_groups": 0.9}, None, "watch", "most groups carry no signal"),
        ({}, {"share": 0.97, "semantic_entropy": 0.04}, "watch", "votes have become unanimous"),
        ({"length": 20}, {"length": 50}, "watch", "responses became much longer"),
        ({"length": 50}, {"length": 20}, "watch", "responses became much shorter"),
        ({}, {"grad_norm": math.nan}, "bad", "grad_norm is not finite"),
        ({}, {"loss": math.inf}, "bad", "loss is not finite"),
    ],
)
def test_each_sign(notes: Make, first: dict[str, float], last: dict[str, float], level: str, title: str) -> None:
    assert titles(notes(first, last)) == [(level, f"upt: {title}")]


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ({"unreadable": 0.25}, None),
        ({"truncated": 0.15}, None),
        ({"share": 0.9, "semantic_entropy": 0.3}, None),
        ({"length": 20}, {"length": 39}),
    ],
)
def test_below_the_threshold_there_is_silence(notes: Make, first: dict[str, float], last: dict[str, float]) -> None:
    assert titles(notes(first, last)) == [("good", "No warning signs")]


@pytest.mark.parametrize(
    ("extract", "form"), [("boxed", r"no \boxed{...}"), ("tag:answer", "no <answer>"), ("lenient", "no answer")]
)
def test_unreadable_answers_are_counted_and_the_form_is_named(
    tmp_path: Path, fake: SimpleNamespace, extract: str, form: str
) -> None:
    run = RunFolder.create(tmp_path / "run", RECIPE.replace("boxed", extract), seed=0)
    with MetricsLog(run.metrics) as log:
        for step in range(1, 21):
            log.append({"stage": "upt", "kind": "upt", "step": step, **HEALTHY, "unreadable": 1.0})
            fake.keep(run, "upt", step, [fake.group(Prompt("p", "q"), ["?"] * 100, [None] * 100)] * 2)
    (note, *_) = what_to_know(read_run(run.root))
    assert note.level == "bad"
    assert note.text.startswith(f"4,000 of 4,000 responses held {form}")
    assert "nothing could be learned; accuracy near zero is expected" in note.text


@pytest.mark.parametrize(("last", "expected"), [("7", True), (None, False)])
def test_one_answer_that_takes_over(tmp_path: Path, fake: SimpleNamespace, last: str | None, expected: bool) -> None:
    run = RunFolder.create(tmp_path / "run", RECIPE, seed=0)
    with MetricsLog(run.metrics) as log:
        log.append({"stage": "upt", "kind": "upt", "step": 1, **HEALTHY})
    for step, answer in ((1, None), (20, last)):
        made = [fake.group(Prompt(f"p{i}", "q"), ["r"] * 4, [answer or str(i)] * 4) for i in range(16)]
        fake.keep(run, "upt", step, made)
    found = [note for note in what_to_know(read_run(run.root)) if "taking over" in note.title]
    assert bool(found) is expected
    assert not found or "won 100% of the votes in the last step, 6% in the first" in found[0].text


def test_a_reward_that_rises_without_accuracy(notes: Make, fake: SimpleNamespace) -> None:
    rows = [fake.measured("base", 0.6, 0.60, 0.7, 0.9, 0.0), fake.measured("upt", 0.6, 0.59, 0.7, 0.7, 0.0)]
    found = titles(notes({"reward": 0.5}, {"reward": 0.8}, rows))
    assert ("watch", "upt: more agreement, no more accuracy") in found
    assert ("watch", "upt: less variety") in found
    assert ("info", "upt: no clear change") in found
    assert not [title for _, title in found if "No warning" in title]


@pytest.mark.parametrize(("before", "after", "level"), [(0.5, 0.7, "good"), (0.7, 0.5, "bad"), (0.5, 0.55, "info")])
def test_changes_are_judged_by_intervals(
    notes: Make, fake: SimpleNamespace, before: float, after: float, level: str
) -> None:
    rows = [fake.measured("base", 0.5, before, 0.5, 0.9, 0.0), fake.measured("upt", 0.5, after, 0.5, 0.9, 0.0)]
    assert [note.level for note in notes({}, None, rows) if "Mean accuracy" in note.text] == [level]


def test_a_measurement_that_reads_nothing(notes: Make, fake: SimpleNamespace) -> None:
    rows = [fake.measured(name, 0.0, 0.0, 0.0, 0.0, 0.95) for name in ("base", "upt")]
    found = titles(notes({}, None, rows))
    assert ("info", "base: does not yet answer in the form asked for") in found
    assert ("bad", "upt: the measurement reads almost no answer") in found


def measurements(root: Path, fake: SimpleNamespace, before: float, after: float, questions: int) -> RunData:
    run = RunFolder.create(root, RECIPE, seed=0)
    fake.write_eval(run, "base", before, questions)
    fake.write_eval(run, "upt", after, questions)
    return read_run(root)


def test_the_paired_change_is_the_textbook_one(tmp_path: Path, fake: SimpleNamespace) -> None:
    """Against a percentile bootstrap over questions, done slowly."""
    run = measurements(tmp_path, fake, 0.5, 0.58, 60)
    change = paired_change(run, {"name": "base"}, {"name": "upt"})
    assert change is not None
    means = [
        {r["id"]: sum(r["correct"]) / 8 for r in read_records(run.layout.eval_parquet(name), ["id", "correct"])}
        for name in ("base", "upt")
    ]
    differences = [means[1][question] - means[0][question] for question in means[0]]
    rng = random.Random(0)
    resampled = sorted(sum(rng.choices(differences, k=60)) / 60 for _ in range(4000))
    assert change.value == pytest.approx(sum(differences) / 60)
    assert change.low == pytest.approx(resampled[100], abs=0.01)
    assert change.high == pytest.approx(resampled[3900], abs=0.01)


def test_pairing_sees_what_intervals_cannot(tmp_path: Path, fake: SimpleNamespace) -> None:
    run = measurements(tmp_path, fake, 0.5, 0.56, 300)
    before, after = fake.measured("base", 0.5, 0.5, 0.5, 0.5, 0), fake.measured("upt", 0.5, 0.56, 0.56, 0.5, 0)
    assert verdict(run, before, after, "mean@8") == 1
    assert verdict(run, after, before, "mean@8") == -1
    assert verdict(run, before, before, "mean@8") == 0
    assert verdict(run, before, after, "maj@8") == 0


def test_too_few_questions_are_not_paired(tmp_path: Path, fake: SimpleNamespace) -> None:
    run = measurements(tmp_path, fake, 0.5, 0.9, 29)
    assert paired_change(run, {"name": "base"}, {"name": "upt"}) is None
    assert paired_change(run, {"name": "../../etc"}, {"name": "none"}) is None

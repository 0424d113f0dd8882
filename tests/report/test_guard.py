"""The guard's story, told: on the page, in the terminal, in summary.json, in the advice."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from markupsafe import escape

from mmupt.report.advice import what_to_know
from mmupt.report.curves import Mark
from mmupt.report.guard import Story, in_brief, what_it_did
from mmupt.report.guard_page import guard_view, marks
from mmupt.report.reading import Stage, read_run
from mmupt.report.report import lines_to_tell, write_report
from mmupt.runtime.files import write_json
from mmupt.runtime.metrics import MetricsLog
from mmupt.runtime.run_folder import RunFolder
from mmupt.types import Prompt

RECIPE = 'name = "x"\n[[stages]]\nkind = "upt"\nname = "upt"\nsteps = 60\n'
HEALTHY = {"reward": 0.6, "share": 0.6, "semantic_entropy": 0.8, "unreadable": 0.02, "truncated": 0.0, "length": 17.0}


def event(step: int, action: str, signal: str = "score", text: str = "the score fell") -> dict[str, Any]:
    return {
        "step": step, "action": action, "signal": signal, "text": text, "value": 0.51, "start": 0.62, "bound": 0.57,
        "done": [action], "not_done": [],
    }  # fmt: skip


def story(events: tuple[dict[str, Any], ...] = (), steps: int = 20, **fields: Any) -> Story:
    raw = {"start": {}, "measurements": [{"step": 10}], "events": list(events), "watched": 64, "anchors": 23, **fields}
    told = Story.of(Stage("upt", "upt", [{"step": i + 1} for i in range(steps)], {}, [], None, raw))
    assert told is not None
    return told


def guarded_run(path: Path, raw: dict[str, Any], steps: int = 20, last: dict[str, float] | None = None) -> RunFolder:
    """A run of 20 of 60 steps, with `last` in its second half."""
    run = RunFolder.create(path, RECIPE, seed=0)
    with MetricsLog(run.metrics) as log:
        for step in range(1, steps + 1):
            log.append({"stage": "upt", "kind": "upt", "step": step, **HEALTHY, **((last or {}) if step > 10 else {})})
    write_json(run.summary, {"stages": []})
    write_json(run.guard("upt"), raw)
    return run


def whole(events: tuple[dict[str, Any], ...] = (), **fields: Any) -> dict[str, Any]:
    start = {"score": 0.62, "anchor_agreement": 0.95}
    measurements = [{"step": 10, "score": 0.68, "anchor_agreement": 0.94}, {"step": 20, "score": 0.51}]
    return {
        "start": start, "measurements": measurements, "events": list(events), "best_step": 10, "stopped_at": None,
        "rolled_back_to": None, "watched": 64, "anchors": 23, "shut": False, **fields,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (story(), "saw nothing out of bounds in 20 steps"),
        (story(steps=1, measurements=[]), "saw nothing out of bounds in 1 step, too few for a measurement"),
        (story((event(3, "warn"),)), "warned in step 3"),
        (story((event(3, "warn"), event(3, "warn", "kl"), event(9, "warn"))), "warned in steps 3 and 9"),
        (story(tuple(event(i, "warn") for i in (2, 4, 6, 8))), "warned 4 times (steps 2 to 8)"),
        (
            story((event(3, "warn"), event(5, "freeze"), event(5, "slow"))),
            "warned in step 3, slowed down in step 5, froze the teacher in step 5",
        ),
        (story((event(8, "rollback"),), rolled_back_to=5), "went back to step 5 in step 8"),
        (story((event(8, "rollback"), event(14, "rollback")), rolled_back_to=5), "went back in steps 8 and 14"),
        (
            story((event(20, "rollback"), event(20, "stop")), rolled_back_to=0, stopped_at=20),
            "went back to the start in step 20, stopped in step 20; the model is that of the start",
        ),
        (
            story((event(0, "stop"),), steps=0, shut=True),
            "did not let training begin; the model is the one the stage began with",
        ),
        (story((event(10, "refresh"),)), "refreshed the teacher in step 10"),
        (
            story((event(9, "stop") | {"done": ["rollback"], "not_done": ["stop"]},), rolled_back_to=5),
            "went back to step 5 in step 9 (not allowed: stop)",
        ),
        (story((event(9, "stop") | {"done": [], "not_done": ["stop"]},)), "warned in step 9 (not allowed: stop)"),
        (story((event(9, "warn") | {"done": [], "not_done": ["warn"]},)), "warned in step 9"),
    ],
)
def test_one_line(told: Story, line: str) -> None:
    assert what_it_did(told) == line


def test_a_model_is_handed_on_only_from_a_return_that_no_step_follows() -> None:
    assert story((event(8, "rollback"),), rolled_back_to=5).handed_on is None
    assert story((event(20, "rollback"),), rolled_back_to=5).handed_on == 5
    assert story((event(20, "stop"),)).handed_on is None


def test_marks_are_grave_where_something_was_undone() -> None:
    events = (event(3, "warn"), event(5, "refresh"), event(8, "warn"), event(8, "rollback"))
    assert marks(story(events)) == [Mark(3, False), Mark(8, True)]
    assert marks(None) == []


def test_the_page_has_the_table_and_the_curves(tmp_path: Path) -> None:
    events = (event(10, "warn", "anchor_agreement", "agreement fell"), event(20, "stop", text="it fell <again>"))
    run = guarded_run(tmp_path / "run", whole(events, stopped_at=20))
    (stage,) = read_run(run.root).stages
    told = Story.of(stage)
    assert told is not None
    view = guard_view(told)
    assert [dataclasses.astuple(row) for row in view.rows] == [
        ("10", "watch", ("warned",), (), "anchor agreement", "agreement fell", "0.62", "0.51", "0.57"),
        ("20", "bad", ("stopped",), (), "score", "it fell <again>", "0.62", "0.51", "0.57"),
    ]
    assert [(chart.title, chart.last) for chart in view.charts] == [
        ("label-free score", "62.0 → 51.0 %"),
        ("agreement on the anchors", "95.0 → 94.0 %"),
    ]
    assert all("var(--watch)" in chart.svg and "var(--bad)" in chart.svg for chart in view.charts)
    html = write_report(run.root).read_text(encoding="utf-8")
    assert "it fell &lt;again&gt;" in html
    assert "64 questions were kept out of training" in html
    assert html.count("var(--bad)") > 4 * len(view.charts)  # the marks are in the curves of the stage as well


def test_every_signal_is_listed_whether_or_not_it_was_out(tmp_path: Path) -> None:
    reading = {"value": 0.4, "start": 0.35, "bound": 0.55, "out": False, "acts": True}
    bounds = {
        "flips": {**reading, "says": "the share of <flips>"},
        "kl": {**reading, "says": "the KL", "value": 0.9, "out": True, "acts": False},
    }
    html = write_page(tmp_path / "run", whole(bounds=bounds))
    assert "All 2 signals at the last measurement" in html
    assert "the share of &lt;flips&gt;</td><td>0.35</td><td>0.4</td><td>0.55</td><td>no</td>" in html
    assert '<td>0.9</td><td>0.55</td><td><span class="chip watch">only told</span></td>' in html


def test_a_quiet_guard_says_so(tmp_path: Path) -> None:
    run = guarded_run(tmp_path / "run", whole())
    html = write_report(run.root).read_text(encoding="utf-8")
    assert "It saw nothing out of bounds in 20 steps." in html
    assert lines_to_tell(run.root)[0] == "upt: the guard saw nothing out of bounds in 20 steps"
    assert ("good", "upt: nothing for the guard to do") in [
        (n.level, n.title) for n in what_to_know(read_run(run.root))
    ]
    assert "only the training groups" in write_page(tmp_path / "none", whole(watched=0))


def test_a_stage_that_was_not_let_begin_is_on_the_page(tmp_path: Path) -> None:
    raw = whole((event(0, "stop", "gate", "too few agree"),), shut=True, measurements=[], stopped_at=0)
    run = guarded_run(tmp_path / "run", raw, steps=0)
    data = read_run(run.root)
    assert data.unfinished == []
    (note,) = [note for note in what_to_know(data) if note.level == "bad"]
    assert (note.title, note.text) == ("upt: the guard did not let training begin", "Too few agree.")
    html = write_report(run.root).read_text(encoding="utf-8")
    assert "It did not let training begin" in html
    assert "Too few steps for curves" not in html


@pytest.mark.parametrize(
    ("raw", "level", "title", "end"),
    [
        (whole((event(9, "warn"),)), "watch", "the guard has warned", "The score fell."),
        (whole((event(9, "warn"), event(9, "slow"))), "watch", "the guard has intervened", "The score fell."),
        (whole((event(20, "stop"),), stopped_at=20), "bad", "the guard stopped it in step 20", "The score fell."),
        (
            whole((event(20, "rollback"), event(20, "stop")), stopped_at=20, rolled_back_to=10),
            "watch", "the guard stopped it in step 20", "The model handed on is that of step 10.",
        ),
        (
            whole((event(12, "rollback"),), rolled_back_to=10), "watch", "the guard went back to an earlier model",
            "The score fell.",
        ),
    ],
)  # fmt: skip
def test_its_word_replaces_the_guesses(tmp_path: Path, raw: dict[str, Any], level: str, title: str, end: str) -> None:
    run = guarded_run(tmp_path / "run", raw, last={"share": 0.98, "semantic_entropy": 0.01})
    notes = [note for note in what_to_know(read_run(run.root)) if note.title.startswith("upt:")]
    assert [(note.level, note.title) for note in notes] == [(level, f"upt: {title}")]
    assert notes[0].text.endswith(end)
    told = lines_to_tell(run.root)
    assert [line for line in told if line.startswith("upt: the guard")] == [
        told[0],
        f"{notes[0].title}: {notes[0].text}",
    ]


@pytest.mark.parametrize(("acts", "level"), [(True, "watch"), (False, "info")])
def test_what_is_only_told_is_no_alarm(tmp_path: Path, acts: bool, level: str) -> None:
    raw = whole((event(9, "warn"),), bounds={"score": {"says": "the score", "acts": acts}})
    run = guarded_run(tmp_path / "run", raw)
    assert (level, "upt: the guard has warned") in [(n.level, n.title) for n in what_to_know(read_run(run.root))]


def test_without_a_word_of_the_guard_unanimity_is_still_told(tmp_path: Path) -> None:
    run = guarded_run(tmp_path / "run", whole(), last={"share": 0.98, "semantic_entropy": 0.01})
    assert "upt: votes have become unanimous" in [note.title for note in what_to_know(read_run(run.root))]


def test_a_guard_that_was_switched_off_is_told(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", RECIPE + "[stages.guard]\nenabled = false\n", seed=0)
    with MetricsLog(run.metrics) as log:
        log.append({"stage": "upt", "kind": "upt", "step": 1, **HEALTHY})
    assert ("info", "upt: no guard") in [(note.level, note.title) for note in what_to_know(read_run(run.root))]


def test_a_stage_that_was_stopped_is_finished(tmp_path: Path) -> None:
    assert read_run(guarded_run(tmp_path / "a", whole()).root).unfinished == ["upt: 20 of 60 steps"]
    assert read_run(guarded_run(tmp_path / "b", whole(stopped_at=20)).root).unfinished == []


def test_a_stage_that_ran_out_of_visits_is_finished(tmp_path: Path) -> None:
    run = guarded_run(tmp_path / "run", whole())
    write_json(run.checkpoint("upt", 15) / "state.json", {"step": 15})
    assert read_run(run.root).unfinished == ["upt: 20 of 60 steps"]
    write_json(run.checkpoint("upt", 20) / "state.json", {"step": 20, "finished": True})
    assert read_run(run.root).unfinished == []


def test_the_summary_has_all_but_the_measurements(tmp_path: Path) -> None:
    raw = whole((event(9, "warn"),))
    run = guarded_run(tmp_path / "run", raw)
    assert in_brief(run, ["sft", "upt"]) == {
        "upt": {key: raw[key] for key in raw if key not in ("start", "measurements")}
    }


@pytest.mark.parametrize("attack", ["<script>alert(1)</script>", "{{ 7*7 }}", "\x00\x1b[31m", "'--><!--"])
def test_hostile_events_are_only_text(tmp_path: Path, attack: str) -> None:
    raw = whole((event(9, attack, attack, attack), event(9, "stop", attack, attack)))
    raw["start"] |= {attack: 0.5}
    raw["measurements"][0] |= {attack: 0.5}
    html = write_page(tmp_path / "run", raw)
    shown = str(escape(attack.replace("\x00", "�").replace("\x1b", "�")))
    assert html.count(shown) >= 4  # signal, text and unknown action of an event, title of a curve
    assert attack not in html.replace(shown, "")


@pytest.mark.parametrize(
    "raw",
    [
        {"events": 3, "measurements": {}, "start": [], "watched": "x", "best_step": None},
        {"events": [None, {}, {"step": "nan", "action": 7, "value": "inf"}], "measurements": [3, {"step": "x"}]},
        {"start": {"score": "nan", "x": None}, "measurements": [{"step": 1, "score": {}}], "rolled_back_to": 1e300},
    ],
)
def test_whatever_the_file_holds_there_is_a_page(tmp_path: Path, raw: dict[str, Any]) -> None:
    assert "Guard" in write_page(tmp_path / "run", raw)


def test_a_damaged_story_is_named(tmp_path: Path) -> None:
    run = guarded_run(tmp_path / "run", whole())
    run.guard("upt").write_bytes(b"{")
    html = write_report(run.root).read_text(encoding="utf-8")
    assert "upt.json cannot be read" in html
    assert "nothing out of bounds" not in html


def test_what_was_left_out_is_told(tmp_path: Path) -> None:
    run = guarded_run(tmp_path / "run", whole(), last={"left_out": 0.5, "left_out/unanimous": 0.4, "left_out/<b>": 0.1})
    html = write_report(run.root).read_text(encoding="utf-8")
    assert "Not learned from, of all groups: unanimous 20 %, &lt;b&gt; 5 %." in html
    assert "groups not learned from" not in html  # a curve of one height says no more


def test_groups_of_another_role_are_shown_as_such_and_counted_as_nothing(tmp_path: Path, fake: SimpleNamespace) -> None:
    run = guarded_run(tmp_path / "run", whole())
    answers = [fake.group(Prompt(f"p{i}", "q"), ["r"] * 4, [str(i)] * 4) for i in range(9)]
    checks = [fake.group(Prompt(f"p{i}#1", "right?"), ["r"] * 4, ["yes", None, None, "yes"]) for i in range(9)]
    made = answers + [(dataclasses.replace(g, role="verification"), score) for g, score in checks]
    fake.keep(run, "upt", 20, made)
    (stage,) = read_run(run.root).stages
    assert stage.tally is not None
    assert (stage.tally.responses, stage.tally.unreadable, stage.tally.last_top) == (36, 0, 1 / 9)
    html = write_report(run.root).read_text(encoding="utf-8")
    assert html.count("an answer being checked") == 1
    assert html.count("<article") == 4
    assert "a divided, a middling and a united vote" in html


def write_page(path: Path, raw: dict[str, Any]) -> str:
    return write_report(guarded_run(path, raw).root).read_text(encoding="utf-8")

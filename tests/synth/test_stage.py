"""The whole stage: its folder, its data set, resuming, labels, and a model that writes nothing usable."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mmupt.data.dataset import load_prompts
from mmupt.data.images import open_image
from mmupt.data.settings import DataSettings
from mmupt.errors import DataError, RunFolderError
from mmupt.runtime.metrics import MetricsLog, read_metrics
from mmupt.synth.report import SynthReport
from mmupt.synth.settings import SynthStage
from mmupt.types import LabeledPrompt, Prompt

Make = Callable[..., SynthStage]
Run = Callable[..., SynthReport]
WRITTEN = ["Largest die?", "Smallest die?", "Nothing.", "Largest minus smallest?"]


def say(text: str, pictured: bool, seed: int) -> str:
    """By the seed alone, as an engine does: some question, some answer."""
    if text.startswith("Ask"):
        return WRITTEN[seed % 4]
    return rf"\boxed{{{seed % 3}}}"


def everything(folder: Path) -> dict[str, bytes]:
    """All that a stage leaves, but for the page's time of writing."""
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    found["page.html"] = found["page.html"].rpartition(b"<footer>")[0]
    return found


class Killed(BaseException):
    pass


def dying(say: Callable[[str, bool, int], str], after: int) -> Callable[[str, bool, int], str]:
    """Says so many responses, then no more."""
    left = iter(range(after))

    def _say(text: str, pictured: bool, seed: int) -> str:
        if next(left, None) is None:
            raise Killed
        return say(text, pictured, seed)

    return _say


def test_a_data_set_as_any_other(
    make_stage: Make, prompts: list[Prompt], scripted: Any, run: Run, tmp_path: Path
) -> None:
    report = run(make_stage(candidates=4), prompts, scripted(say))
    out = tmp_path / "out"
    assert {p.name for p in out.iterdir()} == {
        "train.jsonl",
        "images",
        "candidates.parquet",
        "report.json",
        "page.html",
        "begun.txt",
    }
    rows = load_prompts(DataSettings(path=str(out))).rows
    assert len(rows) == report.kept > 0
    lines = [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]
    by_id = {prompt.id: prompt for prompt in prompts}
    for row, line in zip(rows, lines, strict=True):
        source, meta = by_id[line["meta"]["source"]], line["meta"]
        assert row.question in ("<image>Largest die?", "<image>Smallest die?", "<image>Largest minus smallest?")
        assert open_image(row.images[0]).tobytes() == open_image(source.images[0]).tobytes()
        assert (meta["written_by"], meta["mode"], meta["prompt"], meta["shown_answer"]) == (
            "tiny",
            "direct",
            "Ask!",
            None,
        )
        assert WRITTEN[meta["seed"] % 4] in row.question and 0.3 <= meta["share"] <= 0.8
        assert "answer" not in line, "nobody knows one"
    assert report == SynthReport.read(out / "report.json")
    assert report.written == 20 == report.kept + sum(report.dropped.values())
    assert report.dropped["unparsable"] > 0 and report.subjects == report.asked == 5
    kept = [
        c
        for row in pq.read_table(out / "candidates.parquet").to_pylist()
        for c in row["candidates"]
        if not c["dropped"]
    ]
    assert [c["id"] for c in kept] == [row.id for row in rows]
    assert report.share == pytest.approx(sum(c["share"] for c in kept) / len(kept))


@pytest.mark.parametrize("after", [1, 9, 25, 60, 75])
def test_killed_and_resumed_writes_the_same(
    make_stage: Make, prompts: list[Prompt], scripted: Any, run: Run, tmp_path: Path, after: int
) -> None:
    stage = make_stage(candidates=4, filters={"reference": "blind"})
    calm = scripted(say)
    run(stage, prompts, calm, "calm")
    with pytest.raises(Killed):
        run(stage, prompts, scripted(dying(say, after)))
    assert not (tmp_path / "out/train.jsonl").exists()
    parts = list((tmp_path / "out").glob("parts/*.parquet"))
    assert bool(parts) == (after >= 60), "the first part has 8 questions and their answers"
    rest = scripted(say)
    run(stage, prompts, rest)
    assert everything(tmp_path / "out") == everything(tmp_path / "calm")
    assert (len(rest.asked) < len(calm.asked)) == bool(parts), "what is kept is not asked again"
    again = scripted(say)
    assert run(stage, prompts, again).written == 20 and again.asked == [], "a finished stage is only read"


def test_a_part_that_is_damaged_or_about_others(
    make_stage: Make, prompts: list[Prompt], scripted: Any, run: Run, tmp_path: Path
) -> None:
    stage = make_stage(candidates=4)
    with pytest.raises(Killed):
        run(stage, prompts, scripted(dying(say, 50)))
    first, *_ = sorted((tmp_path / "out/parts").iterdir())
    whole = first.read_bytes()
    first.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunFolderError, match=r"000000\.parquet: not a readable Parquet file"):
        run(stage, prompts, scripted(say))
    first.write_bytes(whole)
    first.rename(first.with_name("000002.parquet"))
    with pytest.raises(RunFolderError, match="is about other pictures than the data has now"):
        run(stage, prompts, scripted(say))


def test_nothing_else_goes_into_the_same_folder(
    make_stage: Make, prompts: list[Prompt], scripted: Any, run: Run, tmp_path: Path
) -> None:
    run(make_stage(), prompts, scripted(say))
    changes: list[tuple[SynthStage, list[Prompt], dict[str, Any]]] = [
        (make_stage(candidates=3), prompts, {}),
        (make_stage(), prompts[:4], {}),
        (make_stage(), [replace(prompts[0], question="<image>Other?"), *prompts[1:]], {}),
        (make_stage(), prompts, {"seed": 8}),
        (make_stage(), prompts, {"model": "other"}),
    ]
    for stage, rows, values in changes:
        with pytest.raises(RunFolderError, match="written with other settings, data, seed or model"):
            run(stage, rows, scripted(say), **values)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/train.jsonl").write_text("{}\n")
    with pytest.raises(RunFolderError, match="was not written by such a stage"):
        run(make_stage(), prompts, scripted(say), "mine")


def test_order_and_parts_change_nothing(
    make_stage: Make, prompts: list[Prompt], scripted: Any, run: Run, tmp_path: Path
) -> None:
    """Neither the order of the data nor how many pictures share a part."""
    stage = make_stage(candidates=4)
    run(stage, prompts, scripted(say), "a")
    run(stage, prompts[::-1], scripted(say), "b")
    together = make_stage(candidates=4, rollout={**stage.rollout.model_dump(), "prompts_at_once": 5})
    run(together, prompts, scripted(say), "c")
    rows = {name: (tmp_path / name / "train.jsonl").read_text().splitlines() for name in "abc"}
    assert sorted(rows["a"]) == sorted(rows["b"]) and rows["a"] == rows["c"]


def test_no_label_is_read(make_stage: Make, prompts: list[Prompt], scripted: Any, run: Run, tmp_path: Path) -> None:
    """Labels that are there, and absurd, change nothing, unless the settings ask for them."""
    context = make_stage(mode="in_context", candidates=4)
    labeled = [LabeledPrompt(prompt, f"label {prompt.id}") for prompt in prompts]
    run(context, prompts, scripted(say), "blind")
    engine = scripted(say)
    run(context, labeled, engine, "labeled")
    assert everything(tmp_path / "blind") == everything(tmp_path / "labeled")
    assert not any("label" in text for text, _, _ in engine.asked)

    gold = make_stage(mode="in_context", answer_from="gold", candidates=4)
    engine = scripted(say)
    run(gold, labeled, engine, "gold")
    assert "Ask another than: Add all dice. (label p3)" in [text for text, _, _ in engine.asked]
    with pytest.raises(DataError, match="needs rows with answers"):
        run(gold, prompts, scripted(say), "none")
    with pytest.raises(RunFolderError, match="other settings, data"):
        run(gold, [replace(row, answer="x") for row in labeled], scripted(say), "gold")


def test_a_model_that_writes_nothing_usable(
    make_stage: Make, prompts: list[Prompt], scripted: Any, run: Run, tmp_path: Path
) -> None:
    engine = scripted(
        lambda text, pictured, seed: "Largest die?" if text == "Ask!" and seed % 2 else r"A die. \boxed{1}"
    )
    with pytest.raises(DataError) as caught:
        run(make_stage(candidates=4), prompts, engine)
    message = str(caught.value)
    report = SynthReport.read(tmp_path / "out/report.json")
    assert report.kept == 0 and report.dropped["unparsable"] > 0 and report.dropped["trivial"] == 5
    assert "write: no question can be handed on: 0 of 20 written questions kept" in message
    assert f"{report.dropped['unparsable']} unparsable (no question could be read): read some responses" in message
    assert "5 trivial" in message and "raise filters.share[1]" in message and "page.html" in message
    assert not (tmp_path / "out/train.jsonl").exists() and (tmp_path / "out/page.html").exists()
    assert "Nothing could be kept" in (tmp_path / "out/page.html").read_text()
    silent = scripted(say)
    with pytest.raises(DataError, match="no question can be handed on"):
        run(make_stage(candidates=4), prompts, silent)
    assert silent.asked == [], "the verdict stands"


def test_nothing_could_be_asked(make_stage: Make, prompts: list[Prompt], scripted: Any, run: Run) -> None:
    engine = scripted(lambda text, pictured, seed: "I do not know")
    with pytest.raises(
        DataError, match="nothing could be asked; mostly: the model has no majority answer to the original"
    ):
        run(make_stage(mode="in_context"), prompts, engine)


def test_counts_go_to_the_metrics(
    make_stage: Make, prompts: list[Prompt], scripted: Any, run: Run, tmp_path: Path
) -> None:
    with MetricsLog(tmp_path / "metrics.jsonl") as metrics:
        report = run(make_stage(candidates=4), prompts, scripted(say), metrics=metrics)
        run(make_stage(candidates=4), prompts, scripted(say), metrics=metrics)
    (record,) = read_metrics(tmp_path / "metrics.jsonl")
    assert (record["stage"], record["kind"], record["step"]) == ("write", "synth", 1)
    assert record["written"] == 20 and record["kept"] == report.kept
    assert record["dropped/unparsable"] == report.dropped["unparsable"]

"""From a run folder to what is kept: a folder made by hand, with a truth that is known."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmupt.errors import RunFolderError
from mmupt.recipe import Recipe, dump_recipe, load_recipe
from mmupt.reproduce.reading import guard_story, last_model, read_result
from mmupt.reproduce.runs import RUNS, Case
from mmupt.sources import labeled_rows

SMALL = ["world.unlabeled_size=4", "model.path=m"]


def write(file: Path, value: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value), encoding="utf-8")


def story(**more: object) -> dict[str, object]:
    return {"shut": False, "rolled_back_to": None, "stopped_at": None, "events": [], "start": {}, "measurements": [],
            **more}  # fmt: skip


def measured(folder: Path, stage: str, questions: list[tuple[str, bool, list[bool]]]) -> None:
    """The two files of a measurement: (id, greedy, samples) a question."""
    write(folder / "evals" / f"{stage}.json", {"stage": stage})
    rows = [
        {"id": name, "set": "world:test@dice", "gold": f"gold {name}", "greedy_correct": greedy, "correct": correct,
         "majority_correct": 0.5, "greedy_judged": None, "judged": None}
        for name, greedy, correct in questions
    ]  # fmt: skip
    schema = pa.schema([
        ("id", pa.string()), ("set", pa.string()), ("gold", pa.string()), ("greedy_correct", pa.bool_()),
        ("correct", pa.list_(pa.bool_())), ("majority_correct", pa.float64()), ("greedy_judged", pa.bool_()),
        ("judged", pa.list_(pa.bool_())),
    ])  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "evals" / f"{stage}.parquet")


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("mini/upt", SMALL)


@pytest.fixture
def run(tmp_path: Path, recipe: Recipe) -> Path:
    """Two steps of MM-UPT: of the first step's answers half are right, of the second's all."""
    folder = tmp_path / "upt"
    stages = [{"stage": stage, "unreadable": 0.02} for stage in ("upt",)]
    write(folder / "summary.json", {"seconds": 90.0, "stages": stages})
    write(folder / "run.json", {"versions": {"mmupt": "0.1.0", "torch": None}})
    measured(folder, "upt", [("b", True, [True] * 10), ("a", False, [True] * 3 + [False] * 7)])
    (folder / "recipe.toml").write_text(dump_recipe(recipe), encoding="utf-8")
    steps = [{"stage": "upt", "step": n, "reward": 0.1 * n, "semantic_entropy": 1.0 / n} for n in (1, 2)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps), encoding="utf-8")
    ranks = [{"step": 1, "top_answer": 0.5}, {"step": 2, "effective_rank": 3.456}]
    write(folder / "guard" / "upt.json", story(start={"effective_rank": 4.0}, measurements=ranks))
    labels = [(row.prompt.id, row.answer) for row in labeled_rows(recipe.stages[0].data, recipe.world).rows]  # type: ignore[union-attr]
    (folder / "groups" / "upt").mkdir(parents=True)
    for step, wrong in ((1, [None, "no such answer"]), (2, [])):
        rows = [{"prompt_id": name, "role": "answer", "answers": [gold, gold, *wrong]} for name, gold in labels]
        rows.append({"prompt_id": labels[0][0], "role": "verification", "answers": ["not counted"]})
        table = pa.Table.from_pylist(rows, schema=pa.schema(
            [("prompt_id", pa.string()), ("role", pa.string()), ("answers", pa.list_(pa.string()))]))  # fmt: skip
        pq.write_table(table, folder / "groups" / "upt" / f"{step:06d}.parquet")
    (folder / "checkpoints" / "upt" / "step-000001").mkdir(parents=True)
    (folder / "checkpoints" / "upt" / "step-000002").mkdir()
    return folder


def test_scores_question_by_question_in_the_order_of_ids(run: Path) -> None:
    result = read_result(Case(RUNS["upt"], 0), run)
    scores = result.measured["upt"]
    assert (scores.set, scores.k, scores.greedy, scores.right) == ("world:test@dice", 10, "01", "3a")
    assert list(scores.by_question("mean")) == [0.3, 1.0] and list(scores.by_question("pass")) == [1.0, 1.0]
    assert (scores.majority, scores.unreadable, result.seconds) == (0.5, 0.02, 90.0)
    assert result.versions == {"mmupt": "0.1.0", "torch": None}


def test_other_questions_have_another_hash(run: Path) -> None:
    before = read_result(Case(RUNS["grpo"], 0), run).measured["upt"].questions
    measured(run, "upt", [("b", True, [True] * 10), ("c", False, [False] * 10)])
    assert read_result(Case(RUNS["grpo"], 0), run).measured["upt"].questions != before


def test_curves_are_judged_by_the_world(run: Path) -> None:
    curves = read_result(Case(RUNS["upt"], 0), run).curves
    assert curves is not None
    assert (curves.reward, curves.semantic_entropy, curves.accuracy) == ((0.1, 0.2), (1.0, 0.5), (0.5, 1.0))
    assert curves.rank == ((0, 4.0), (2, 3.46))
    assert read_result(Case(RUNS["grpo"], 0), run).curves is None


def test_the_last_model_is_the_one_measured_last(run: Path, tmp_path: Path) -> None:
    assert last_model(run) == run / "checkpoints" / "upt" / "step-000002"
    assert last_model(tmp_path / "nowhere") is None
    write(run / "summary.json", {"seconds": 1.0, "stages": []})
    assert last_model(run) is None


def test_a_measurement_that_is_missing_is_told(run: Path) -> None:
    (run / "evals" / "upt.parquet").unlink()
    with pytest.raises(RunFolderError, match="measure again"):
        read_result(Case(RUNS["upt"], 0), run)


def test_what_guards_did(tmp_path: Path) -> None:
    assert guard_story(tmp_path) == ""
    write(tmp_path / "guard" / "upt-1.json", story(events=[{"action": "warn"}, {"action": "warn"}]))
    assert guard_story(tmp_path) == "2 warnings"
    write(tmp_path / "guard" / "upt-1.legacy.json", {"guard": {}})
    write(tmp_path / "guard" / "upt-2.json", story(rolled_back_to=20, stopped_at=40))
    write(tmp_path / "guard" / "upt-3.json", story(shut=True))
    assert guard_story(tmp_path) == "upt-1: 2 warnings; upt-2: back to step 20, stopped at 40; upt-3: did not begin"

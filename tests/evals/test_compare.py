"""Two run folders with known records, and what a comparison must say of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

from mmupt.cli.comparing import compare as compare_command
from mmupt.errors import DataError, RunFolderError
from mmupt.evals.compare import Comparison, compare_runs
from mmupt.evals.compare.table import COLUMNS, render

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("set", pa.string()),
        ("question", pa.string()),
        ("gold", pa.string()),
        ("greedy_correct", pa.bool_()),
        ("correct", pa.list_(pa.bool_())),
        ("majority_correct", pa.float64()),
        ("greedy_judged", pa.bool_()),
        ("judged", pa.list_(pa.bool_())),
    ]
)
Row = dict[str, Any]


def row(id: str, greedy: bool | None, correct: Sequence[bool], **more: Any) -> Row:
    majority = float(2 * sum(correct) > len(correct)) if correct else None
    return {"id": id, "set": "geo", "gold": "7", "greedy_correct": greedy, "correct": list(correct),
            "majority_correct": majority, "greedy_judged": None, "judged": None, **more}  # fmt: skip


def rows(greedy: str, k: int = 4, **more: Any) -> list[Row]:
    """A question a letter: `x` is right greedily and in every sample, `.` wrong in all."""
    return [row(f"q{i}", letter == "x", [letter == "x"] * k, **more) for i, letter in enumerate(greedy)]


def make_run(folder: Path, measured: Mapping[str, list[Row]], order: Sequence[str] | None = None) -> Path:
    """A run folder with measurements `STAGE` or `STAGE.SET`, listed in the summary in the given order."""
    (folder / "evals").mkdir(parents=True, exist_ok=True)
    entries = {}
    for name, content in measured.items():
        pq.write_table(pa.Table.from_pylist(content, schema=SCHEMA), folder / "evals" / f"{name}.parquet")
        entries[name] = {"name": name, "stage": name.split(".")[0], "n": len(content)}
        (folder / "evals" / f"{name}.json").write_text(json.dumps(entries[name]))
    summary = {"stages": [entries[name] for name in order or measured]}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def figures(comparison: Comparison, number: int = 0) -> dict[str, Any]:
    return {figure.name: figure for figure in comparison.sets[number].figures}


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    """B has 12 of 30 questions more than A and lost 2."""
    a = make_run(tmp_path / "a", {"base": rows("x" * 10 + "." * 20)})
    b = make_run(tmp_path / "b", {"upt": rows("." * 2 + "x" * 20 + "." * 8)})
    return str(a), str(b)


def test_values_and_flips(pair: tuple[str, str]) -> None:
    comparison = compare_runs(*pair)
    (one,) = comparison.sets
    assert (one.name, one.pairs, one.only_a, one.only_b, one.gained, one.lost) == ("geo", 30, 0, 0, 12, 2)
    assert list(figures(comparison)) == ["greedy", "mean@4", "maj@4", "pass@4"]
    for figure in one.figures:
        assert (figure.a, figure.b) == pytest.approx((1 / 3, 2 / 3))
        assert figure.difference.value == pytest.approx(1 / 3)
        assert figure.difference.low == pytest.approx(0.13, abs=0.05)
        assert figure.difference.high == pytest.approx(0.53, abs=0.05)
    # McNemar's exact test of 12 against 2: twice the chance of 12 or more heads in 14.
    assert one.figures[0].difference.p == pytest.approx(2 * (91 + 14 + 1) / 2**14, abs=0.004)


def test_holm_runs_over_all_sets(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", {"base": rows("." * 20), "base.wemath": rows("." * 20, set="wemath")})
    b = make_run(tmp_path / "b", {"upt": rows("x" * 20), "upt.wemath": rows("." * 20, set="wemath")})
    comparison = compare_runs(str(a), str(b))
    assert [one.name for one in comparison.sets] == ["geo", "wemath"]
    lowest = figures(comparison)["greedy"]
    assert lowest.difference.p == pytest.approx(1 / 10_001)
    assert lowest.p_holm == pytest.approx(8 / 10_001)
    assert figures(comparison, 1)["greedy"].p_holm == 1.0


def test_questions_pair_by_id_not_by_position(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    there = [row(f"q{i}", bool(rng.integers(2)), (rng.integers(0, 2, 4) == 1).tolist()) for i in range(40)]
    shuffled = [there[i] for i in rng.permutation(40)]
    a, b = make_run(tmp_path / "a", {"base": there}), make_run(tmp_path / "b", {"base": shuffled})
    comparison = compare_runs(str(a), str(b))
    assert all(f.difference.value == 0 and f.difference.p == 1 for f in comparison.sets[0].figures)


def test_questions_of_one_run_only_are_counted(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", {"base": rows("xx..x")})
    b = make_run(tmp_path / "b", {"base": rows("xxxx")[1:]})
    comparison = compare_runs(str(a), str(b))
    one = comparison.sets[0]
    assert (one.pairs, one.only_a, one.only_b) == (3, 2, 0)
    assert "left out: 2 questions of A, 0 of B" in " ".join(render(comparison)[0].notes)


def test_stage_can_be_named_and_is_the_last_otherwise(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "odd:name",
        {"a-last": rows("xxxx"), "z-first": rows("...."), "z-first.wemath": rows("....", set="wemath")},
        order=["z-first", "z-first.wemath", "a-last"],
    )
    comparison = compare_runs(f"{run}:z-first", str(run))
    assert comparison.a.endswith("odd:name, stage z-first") and comparison.b.endswith("stage a-last")
    assert figures(comparison)["greedy"].difference.value == 1.0
    assert comparison.notes == ("wemath: not compared; A has 4 questions, B 0, 0 in both",)


def test_last_stage_is_found_when_its_last_measurement_is_a_benchmark(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", {"base": rows("..."), "upt": rows("xxx"), "upt.wemath": rows("x..", set="wemath")})
    comparison = compare_runs(f"{run}:base", str(run))
    assert comparison.b.endswith("stage upt")
    assert figures(comparison)["greedy"].b == 1.0


def test_different_numbers_of_samples(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", {"base": rows("x..x", k=4)})
    b = make_run(tmp_path / "b", {"base": rows("xx.x", k=8)})
    comparison = compare_runs(str(a), str(b))
    assert list(figures(comparison)) == ["greedy", "mean@k"]
    assert figures(comparison)["mean@k"].difference.value == pytest.approx(0.25)
    assert "A 4, B 8" in comparison.sets[0].notes[0] and "left out" in comparison.sets[0].notes[0]


def test_judged_figures_only_where_both_have_them(tmp_path: Path) -> None:
    judged = [row(f"q{i}", False, [False] * 2, greedy_judged=True, judged=[True, i > 1]) for i in range(4)]
    strict = [row(f"q{i}", False, [False] * 2, greedy_judged=False, judged=[False, False]) for i in range(4)]
    unjudged = rows("....", k=2)
    a, b, c = (
        str(make_run(tmp_path / name, {"base": content}))
        for name, content in [("a", strict), ("b", judged), ("c", unjudged)]
    )
    both = figures(compare_runs(a, b))
    assert both["greedy (judge)"].difference.value == 1.0
    assert both["mean@2 (judge)"].difference.value == 0.75
    assert both["pass@2 (judge)"].difference.value == 1.0
    assert not [name for name in figures(compare_runs(a, c)) if "judge" in name]


def test_questions_without_a_greedy_verdict_do_not_count_as_wrong(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", {"base": [row("q0", None, [True]), *rows("xxx", k=1)[1:]]})
    b = make_run(tmp_path / "b", {"base": rows("xxx", k=1)})
    greedy = figures(compare_runs(str(a), str(b)))["greedy"]
    assert (greedy.a, greedy.b, greedy.difference.n) == (1.0, 1.0, 2)


def test_two_gold_answers_to_one_question(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", {"base": rows("xxx")})
    b = make_run(tmp_path / "b", {"base": [*rows("xx"), row("q2", True, [True] * 4, gold="8")]})
    with pytest.raises(DataError, match=r"geo: question 'q2' has the answer '7' in .* and '8' in .*two data sets"):
        compare_runs(str(a), str(b))


@pytest.mark.parametrize(
    "other", [rows("xxx", set="wemath"), rows("x"), [row(f"other{i}", True, [True]) for i in "ab"]]
)
def test_nothing_in_common(tmp_path: Path, other: list[Row]) -> None:
    a = make_run(tmp_path / "a", {"base": rows("xxx")})
    b = make_run(tmp_path / "b", {"base": other})
    with pytest.raises(DataError, match=rf"A has geo \(3 questions\); B has \w+ \({len(other)} questions\)"):
        compare_runs(str(a), str(b))


def test_the_same_id_twice(tmp_path: Path) -> None:
    a = make_run(tmp_path / "a", {"base": [*rows("xx"), *rows("x")]})
    with pytest.raises(DataError, match="question 'q0' of geo is there twice"):
        compare_runs(str(a), str(a))


def test_what_cannot_be_read(tmp_path: Path, pair: tuple[str, str]) -> None:
    a = Path(pair[0])
    with pytest.raises(RunFolderError, match="there is no such run folder"):
        compare_runs(str(tmp_path / "nowhere"), pair[1])
    with pytest.raises(RunFolderError, match="stage 'sft' was not measured; measured are: base"):
        compare_runs(f"{a}:sft", pair[1])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(RunFolderError, match="holds no measurement"):
        compare_runs(str(empty), pair[1])
    (a / "summary.json").unlink()
    with pytest.raises(RunFolderError, match="which stage came last is unknown"):
        compare_runs(str(a), pair[1])
    assert compare_runs(f"{a}:base", pair[1]).sets[0].gained == 12
    (a / "evals" / "base.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(RunFolderError, match=r"base\.parquet: not a readable Parquet file"):
        compare_runs(f"{a}:base", pair[1])
    (a / "evals" / "base.json").write_text('{"name": "base"}')
    with pytest.raises(RunFolderError, match=r"base\.json: has no key 'stage'; another version"):
        compare_runs(f"{a}:base", pair[1])
    (a / "evals" / "base.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"base\.json: not readable JSON"):
        compare_runs(f"{a}:base", pair[1])


def test_the_seed_decides(pair: tuple[str, str]) -> None:
    first, again, other = (compare_runs(*pair, resamples=500, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert [f.difference for f in first.sets[0].figures] != [f.difference for f in other.sets[0].figures]


def test_command(pair: tuple[str, str]) -> None:
    app = typer.Typer()
    app.callback()(lambda: None)
    app.command("compare")(compare_command)
    shown = CliRunner().invoke(app, ["compare", *pair])
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    assert lines[0].startswith("A  ") and lines[1].startswith("B  ")
    header = next(line for line in lines if line.startswith("figure"))
    assert [header.index(column) for column in COLUMNS] == sorted(header.index(column) for column in COLUMNS)
    greedy = next(line.split() for line in lines if line.startswith("greedy "))
    assert greedy[:4] == ["greedy", "33.3", "66.7", "+33.3"] and greedy[-1] == "30"
    assert "greedy: 12 questions right in B alone, 2 in A alone" in shown.output
    plain = CliRunner().invoke(app, ["compare", *pair, "--json"])
    entry = json.loads(plain.output)
    assert entry["sets"][0]["figures"][0]["difference"]["n"] == 30

"""The index keeps up with the folder: new steps, steps written anew, steps that disappear, files that are torn."""

from __future__ import annotations

import os
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mmupt.runtime.groups import read_groups
from mmupt.runtime.layout import RunLayout
from mmupt.watch.index import GroupIndex

FILES = dict[tuple[str, int], dict[str, Any]]


def follow(index: GroupIndex, files: FILES, after: int = 0, seconds: float = 10.0) -> int:
    """Takes in all there is to tell, as the page does."""
    while True:
        news = index.news(after, seconds)
        for serial, stage, step in news["gone"]:
            if (stage, step) in files and files[stage, step]["serial"] < serial:
                del files[stage, step]
        for file in news["files"]:
            files[file["stage"], file["step"]] = file
        after = news["next"]
        if not news["more"]:
            return after


def ids(files: FILES) -> dict[tuple[str, int], list[str]]:
    return {place: file["id"] for place, file in sorted(files.items())}


def truth(layout: RunLayout) -> dict[tuple[str, int], list[str]]:
    found = {}
    for stage in ("rl", "upt"):
        for step in layout.group_steps(stage):
            found[stage, step] = [str(row["prompt_id"]) for row in read_groups(layout.groups(stage, step))]
    return found


def test_random_changes_are_followed(tmp_path: Path, made: SimpleNamespace) -> None:
    """However news are asked for, what was taken in is what the folder holds."""
    rng, layout = random.Random(1), made.begin(tmp_path)
    index, files, after = GroupIndex(layout), {}, 0
    for turn in range(60):
        stage, number = rng.choice(["rl", "upt"]), rng.randrange(1, 7)
        if rng.random() < 0.2:
            layout.groups(stage, number).unlink(missing_ok=True)
        else:
            rows = [made.row(f"{turn}-{i}", ["1", "2"]) for i in range(rng.randrange(1, 4))]
            made.step(layout, stage, number, rows)
        if rng.random() < 0.5:
            index.news(after, 0.0)  # reads one file; an answer that nobody takes in changes nothing
        if rng.random() < 0.5:
            after = follow(index, files, after, seconds=0.0)
            assert ids(files) == truth(layout)
    late: FILES = {}
    follow(index, late)  # a page that is opened now
    assert ids(late) == truth(layout) and late


def test_the_newest_steps_come_first_and_answers_are_bounded(tmp_path: Path, made: SimpleNamespace) -> None:
    layout = made.begin(tmp_path)
    for number in (1, 2, 3):
        made.step(layout, "upt", number, [made.row(str(i), ["1"]) for i in range(3000)])
    index = GroupIndex(layout)
    news = index.news(0, 10.0)
    assert [file["step"] for file in news["files"]] == [3, 2] and news["more"]
    rest = index.news(news["next"], 10.0)
    assert [file["step"] for file in rest["files"]] == [1] and not rest["more"]
    again = index.news(rest["next"], 10.0)
    assert not again["files"] and not again["more"]


def test_torn_and_foreign_files_are_passed_over_and_named(tmp_path: Path, made: SimpleNamespace) -> None:
    layout = made.begin(tmp_path)
    made.step(layout, "upt", 1, [made.row("a", ["1"])])
    layout.groups("upt", 2).write_bytes(layout.groups("upt", 1).read_bytes()[:-9])
    folder = tmp_path / "groups" / "upt"
    for name in (".000003.parquet.tmp-77", "3.parquet", "notes.txt", "000004.parquet.bak"):
        (folder / name).write_bytes(b"x")
    (tmp_path / "groups" / "..bad").mkdir()
    index, files = GroupIndex(layout), {}
    after = follow(index, files)
    assert ids(files) == {("upt", 1): ["a"]}
    assert ["000002.parquet" in problem for problem in index.news(after, 1.0)["problems"]] == [True]
    assert (
        index.path("upt", 3) is None and index.path("..", 1) is None and index.path("upt", 1) == layout.groups("upt", 1)
    )
    made.step(layout, "upt", 2, [made.row("b", ["1"])])  # written again, whole
    follow(index, files, after)
    assert ids(files) == {("upt", 1): ["a"], ("upt", 2): ["b"]}


def test_search_finds_what_a_slow_one_finds(tmp_path: Path, made: SimpleNamespace) -> None:
    rng, layout = random.Random(2), made.begin(tmp_path)
    words = ["alpha", "Beta", "GAMMA", "naïve", "ß"]
    for number in (1, 2, 3):
        rows = [
            made.row(f"p{i}", ["1"], question=rng.choice(words), responses=[f"{rng.choice(words)} {rng.choice(words)}"])
            for i in range(50)
        ]
        made.step(layout, "upt", number, rows)
    for budget in (2**30, 0):  # with the texts kept, and read anew for each search
        index, files = GroupIndex(layout, text_budget=budget), {}
        follow(index, files)
        steps = {file["serial"]: file["step"] for file in files.values()}
        for query in ("alpha", "BETA", "gamma alpha", "ss", "p7", "nothing", "NAÏVE"):
            slow = {
                (step, i)
                for step in (1, 2, 3)
                for i, row in enumerate(read_groups(layout.groups("upt", step)))
                if any(
                    query.casefold() in str(text).casefold()
                    for text in (row["prompt_id"], row["question"], *row["responses"], *row["answers"])  # type: ignore[misc]
                )
            }
            found = {(steps[serial], i) for serial, rows_found in index.search(query) for i in rows_found}
            assert found == slow, (query, budget)


def test_a_search_outlives_a_file_that_goes(tmp_path: Path, made: SimpleNamespace) -> None:
    layout = made.begin(tmp_path)
    made.step(layout, "upt", 1, [made.row("a", ["1"])])
    index = GroupIndex(layout, text_budget=0)
    follow(index, {})
    layout.groups("upt", 1).unlink()
    assert index.search("a") == []


def test_nothing_is_written_and_nothing_locked(tmp_path: Path, made: SimpleNamespace) -> None:
    layout = made.begin(tmp_path)
    made.step(layout, "upt", 1, [made.row("a", ["1"])])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for path in tmp_path.rglob("*"):
        os.chmod(path, 0o555 if path.is_dir() else 0o444)
    index, files = GroupIndex(layout), {}
    follow(index, files)
    index.search("a")
    assert files and {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    for path in tmp_path.rglob("*"):
        os.chmod(path, 0o755 if path.is_dir() else 0o644)

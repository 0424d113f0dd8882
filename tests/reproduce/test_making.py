"""The runner, with a command that trains nothing: it notes how it was called and leaves a run folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mmupt.errors import DataError, RunFolderError
from mmupt.reproduce.kept import Kept, Result, fingerprint
from mmupt.reproduce.making import Maker
from mmupt.reproduce.runs import RUNS, Case, cases

FAKE = """
import json, os, sys
from pathlib import Path
arguments = sys.argv[1:]
sets = dict(value.partition("=")[::2] for key, value in zip(arguments, arguments[1:]) if key == "--set")
folder = Path(json.loads(sets["run_dir"]))
with open(Path(__file__).with_name("calls.jsonl"), "a") as file:
    called = {"recipe": arguments[1], "folder": folder.name, "model": sets.get("model.path"), "options": arguments[-1:],
              "threads": os.environ["OMP_NUM_THREADS"], "pictures": sets.get("stages.synth.data.path")}
    file.write(json.dumps(called) + "\\n")
folder.mkdir(parents=True, exist_ok=True)
(folder / "run.json").write_text("{}")
if folder.name in os.environ.get("FAIL", "").split():
    sys.exit("error: the loss is not finite")
if folder.name in os.environ.get("INTERRUPT", "").split():
    sys.exit(130)
(folder / "summary.json").write_text(json.dumps({"stages": [{"stage": "sft"}]}))
(folder / "checkpoints" / "sft" / "step-000003").mkdir(parents=True, exist_ok=True)
"""


class Bench:
    """A maker with the fake command, fresh for every call, as if each were a session of its own."""

    def __init__(self, root: Path) -> None:
        self.root, self.told = root, []
        (root / "fake.py").write_text(FAKE, encoding="utf-8")

    def maker(self) -> Maker:
        return Maker(
            self.root / "runs",
            Kept.read(self.root / "results.json"),
            2,
            self.told.append,
            command=(sys.executable, str(self.root / "fake.py")),
            read=lambda case, folder: Result(fingerprint(case), {}, seconds=60.0),
        )

    def make(self, *names: str, seeds: int = 1, retry: bool = False) -> list[dict[str, object]]:
        """What was called, in order."""
        calls = self.root / "calls.jsonl"
        calls.unlink(missing_ok=True)
        maker = self.maker()
        maker.make(maker.plan(cases(names, seeds, 1), retry=retry).todo)
        return [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def folders(calls: list[dict[str, object]]) -> list[object]:
    return [call["folder"] for call in calls]


def test_starts_first_then_from_their_models(bench: Bench) -> None:
    calls = bench.make("upt-after-grpo")
    assert folders(calls) == ["start", "grpo", "upt-after-grpo"]
    assert [call["recipe"] for call in calls] == ["mini/start", "mini/grpo", "mini/upt"]
    assert calls[0]["model"] is None and json.loads(str(calls[1]["model"])).endswith(
        "seed-0/start/checkpoints/sft/step-000003"
    )
    assert json.loads(str(calls[2]["model"])).endswith("seed-0/grpo/checkpoints/sft/step-000003")
    assert {call["threads"] for call in calls} == {"1"}
    assert bench.told[-1] == "3/3 seed-0/upt-after-grpo: done in 1.0 minutes"


def test_nothing_is_made_twice(bench: Bench) -> None:
    assert folders(bench.make("upt", seeds=1)) == ["start", "upt"]
    assert bench.make("upt", seeds=1) == []
    assert folders(bench.make("upt", "lmsi", seeds=1)) == ["lmsi"]
    assert folders(bench.make("upt", seeds=2)) == ["start", "upt"], "of the second seed"


def test_results_outlive_run_folders_but_a_model_that_is_needed_is_made_again(bench: Bench) -> None:
    bench.make("upt")
    (bench.root / "runs").rename(bench.root / "gone")
    assert bench.make("upt") == []
    assert folders(bench.make("upt", "lmsi")) == ["start", "lmsi"]


def test_an_interrupted_run_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERRUPT", "lmsi")
    with pytest.raises(KeyboardInterrupt):
        bench.make("lmsi")
    assert Kept.read(bench.root / "results.json").result(Case(RUNS["lmsi"], 0)) is None
    monkeypatch.setenv("INTERRUPT", "")
    (call,) = bench.make("lmsi")
    assert (call["folder"], call["options"]) == ("lmsi", ["--resume"])


def test_a_failed_run_is_kept_as_failed_and_holds_up_what_rests_on_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIL", "grpo")
    assert folders(bench.make("upt-after-grpo")) == ["start", "grpo"]
    assert "2/3 seed-0/grpo: FAILED: error: the loss is not finite" in bench.told
    assert bench.told[-1] == "3/3 seed-0/upt-after-grpo: not made, because there is no model of seed-0/grpo"
    found = Kept.read(bench.root / "results.json").result(Case(RUNS["grpo"], 0))
    assert found is not None and found.failed == "error: the loss is not finite"
    assert bench.make("upt-after-grpo") == [], "not again by itself"
    plan = bench.maker().plan(cases(["upt-after-grpo"], 1, 1))
    assert [case.key for case in plan.failed] == ["seed-0/grpo"] and [c.key for c in plan.there] == ["seed-0/start"]
    monkeypatch.setenv("FAIL", "")
    assert folders(bench.make("upt-after-grpo", retry=True)) == ["grpo", "upt-after-grpo"]


def test_a_run_that_cannot_be_read_has_failed(bench: Bench) -> None:
    def unreadable(case: Case, folder: Path) -> Result:
        raise RunFolderError("evals/upt.parquet: is damaged")

    maker = bench.maker()
    maker._read = unreadable
    maker.make(maker.plan(cases(["start"], 1, 1)).todo)
    assert bench.told == ["1/1 seed-0/start: FAILED: evals/upt.parquet: is damaged"]


def test_a_changed_recipe_makes_a_run_and_what_begins_with_it_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.make("upt")
    monkeypatch.setattr("mmupt.reproduce.making.fingerprint", lambda case: "other")
    monkeypatch.setattr("mmupt.reproduce.kept.fingerprint", lambda case: "other")
    calls = bench.make("upt")
    assert [(call["folder"], call["options"]) for call in calls] == [
        ("start", ["--overwrite"]),
        ("upt", ["--overwrite"]),
    ]


def test_a_fingerprint_is_of_recipe_changes_and_start() -> None:
    of = {name: fingerprint(Case(RUNS[name], 0)) for name in RUNS}
    assert len(set(of.values())) == len(RUNS)
    assert fingerprint(Case(RUNS["upt"], 1)) != of["upt"]


def test_the_loop_is_given_pictures_and_nothing_else(bench: Bench) -> None:
    *_, call = bench.make("loop")
    pictures = Path(json.loads(str(call["pictures"])))
    assert pictures.name == "pictures" and {file.suffix for file in pictures.iterdir()} == {".png"}
    assert len(list(pictures.iterdir())) > 400
    first = (pictures / "0000.png").read_bytes()
    bench.make("loop", seeds=1)
    assert (pictures / "0000.png").read_bytes() == first


def test_damaged_results_are_told(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_text('{"seed-0/upt": {"recipe": 3}}', encoding="utf-8")
    with pytest.raises(DataError, match="is not a file of results"):
        Kept.read(file)


def test_what_is_kept_is_read_as_it_was(kept: Kept, tmp_path: Path) -> None:
    again = Kept.read(tmp_path / "results.json")
    assert [case.key for case in again.cases()] == [case.key for case in kept.cases()]
    assert all(again.result(case) == kept.result(case) for case in kept.cases())


def test_two_sessions_do_not_lose_each_others_results(kept: Kept, tmp_path: Path, made_scores, made_result) -> None:
    other = Kept.read(tmp_path / "results.json")
    kept.put(*made_result("stic", 0, made_scores([1])))
    other.put(*made_result("srlm", 0, made_scores([2])))
    names = {case.run.name for case in Kept.read(tmp_path / "results.json").cases()}
    assert {"stic", "srlm", "upt"} <= names

"""Whole stages: rows as the next stage reads them, the same after a kill, without a label that is not to be read, and a
clear word where there are none."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmupt.answers.equivalence import grade
from mmupt.answers.extract import extract
from mmupt.data.dataset import load_labeled
from mmupt.data.settings import DataSettings
from mmupt.errors import DataError, RunFolderError
from mmupt.selftrain.heard import Heard
from mmupt.selftrain.pairs import make_pairs
from mmupt.selftrain.parts import collect
from mmupt.selftrain.targets import make_targets
from mmupt.types import ImageSource, LabeledPrompt, Prompt

Questions = list[LabeledPrompt]


def say(text: str, seed: int) -> str:
    """The right number, one more, nothing, or something endless; with a number that tells texts apart."""
    number = int(text.rpartition("Question ")[2].split("?")[0])
    kind = seed % 8
    if kind == 6:
        return f"{seed % 97} no idea"
    if kind == 7:
        return rf"{seed % 97} \boxed{{{number}}} and on..."
    return rf"{seed % 97} \boxed{{{number + (kind > 3)}}}"


def blind(questions: Questions) -> list[Prompt]:
    return [row.prompt for row in questions]


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def run(shop: Any, rows: Sequence[Any]) -> Any:
    make = make_targets if shop.stage.kind == "targets" else make_pairs
    return make(shop.stage, rows, shop.tools, shop.context)


def test_targets_are_rows_that_sft_reads(workshop: Callable[..., Any], questions: Questions) -> None:
    shop = workshop(say, kind="targets", keep="majority", rollout={"group_size": 6})
    report = run(shop, blind(questions))
    found = load_labeled(DataSettings(path=str(shop.file.parent))).rows
    assert report.rows == len(found) > 0 and report.file == "data/make/train.jsonl"
    for row in found:
        name, index = row.prompt.id.split("#")
        origin = questions[int(name[1:])].prompt
        assert row.prompt.question == origin.question and len(row.prompt.images) == 1
        made: Any = row.meta["made"]
        assert (made["prompt"], made["rule"], made["stage"]) == (name, "majority", "make") and made["share"] > 0.1
        assert row.solution is not None and extract(row.solution).answer == row.answer and int(index) < 6
    assert report.responses == 30 == report.rows + sum(report.left_out.values())
    assert report.prompts == 5 and report.prompts_used == len({row.prompt.id.split("#")[0] for row in found})
    assert report.figures["share"] == pytest.approx(
        sum(row.meta["made"]["share"] for row in found) / len(found)  # type: ignore[index]
    )
    assert not (shop.file.parent / "parts").exists()


def test_gold_targets_are_right_and_keep_what_the_data_says_of_them(
    workshop: Callable[..., Any], questions: Questions
) -> None:
    shop = workshop(say, kind="targets", keep="gold", per_prompt=1, rollout={"group_size": 8})
    report = run(shop, questions)
    found = load_labeled(DataSettings(path=str(shop.file.parent))).rows
    labels = {row.prompt.id: row for row in questions}
    assert report.rows == report.prompts_used == len(found) > 2
    for row in found:
        label = labels[row.prompt.id.split("#")[0]]
        assert grade(row.answer, label.answer) and row.meta["level"] == label.meta["level"]
        assert row.solution != label.solution, "its own words, not the data's"


def test_pairs_are_rows_with_two_responses(workshop: Callable[..., Any], questions: Questions) -> None:
    shop = workshop(say, kind="pairs", prefer="gold", per_prompt=2, rollout={"group_size": 8})
    report = run(shop, questions)
    found = lines(shop.file)
    assert report.rows == len(found) > 0
    for row in found:
        assert set(row) == {"id", "question", "images", "choices", "chosen", "rejected", "meta"}
        label = questions[int(row["id"].split("#")[0][1:])]
        good, bad = (extract(row[key]).answer for key in ("chosen", "rejected"))
        assert grade(good, label.answer) and not grade(bad, label.answer)
        assert (shop.file.parent / row["images"][0]).is_file()


@pytest.mark.parametrize(
    ("kind", "rule"),
    [("targets", {"keep": "majority"}), ("targets", {"keep": "gold"}), ("pairs", {"prefer": "gold_over_own"}),
     ("targets", {"keep": "majority", "describe": True}), ("pairs", {"prefer": "corrupted"}),
     ("targets", {"keep": "self_check", "verdict": {"by": "sampled"}, "threshold": 0.3})],
)  # fmt: skip
def test_a_killed_stage_makes_the_same_rows(
    workshop: Callable[..., Any], questions: Questions, kind: str, rule: dict[str, Any]
) -> None:
    def speak(text: str, seed: int) -> str:
        if "image" in text.lower() and "Image description" not in text and "Question:" not in text:
            return f"dice {seed % 1000}"
        if "true for this image" in text:
            return rf"\boxed{{{'yes' if seed % 3 else 'no'}}}"
        return say(text, seed) if "Question " in text else f"picture {seed % 1000}"

    def rows(shop: Any) -> Sequence[Any]:
        return questions if shop.stage.reads == "labels" else blind(questions)

    calm = workshop(speak, run="calm", kind=kind, **rule)
    run(calm, rows(calm))
    says = sum(len(request.seeds) for request in calm.engine.requests)
    told: list[int] = []

    def mortal(text: str, seed: int) -> str:
        told.append(seed)
        if len(told) > says // 2:  # in the second of three parts
            raise KeyboardInterrupt
        return speak(text, seed)

    killed = workshop(mortal, run="killed", kind=kind, **rule)
    with pytest.raises(KeyboardInterrupt):
        run(killed, rows(killed))
    assert not killed.file.exists() and len(list((killed.file.parent / "parts").glob("*.parquet"))) == 1
    resumed = workshop(speak, run="killed", kind=kind, **rule)
    run(resumed, rows(resumed))
    assert resumed.file.read_bytes() == calm.file.read_bytes()
    assert len(resumed.engine.requests) < len(calm.engine.requests), "what had been heard was not asked again"


def test_killed_while_writing_it_writes_again_and_finished_it_asks_nothing(
    workshop: Callable[..., Any], questions: Questions, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = workshop(say, run="calm", kind="targets", keep="all")
    expected = run(calm, blind(questions))

    shop = workshop(say, run="killed", kind="targets", keep="all")
    with monkeypatch.context() as patch:
        patch.setattr("mmupt.selftrain.made.write_jsonl", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(shop, blind(questions))
    assert (shop.file.parent / "report.json").exists() and not shop.file.exists()
    again = workshop(say, run="killed", kind="targets", keep="all")
    assert run(again, blind(questions)) == expected
    assert again.engine.requests == [] and again.file.read_bytes() == calm.file.read_bytes()

    finished = workshop(say, run="killed", kind="targets", keep="all")
    assert run(finished, blind(questions)) == expected
    assert finished.engine.requests == []


def test_what_is_sampled_does_not_depend_on_neighbours(workshop: Callable[..., Any], questions: Questions) -> None:
    all_of_them = workshop(say, run="all", kind="targets", keep="all", rollout={"prompts_at_once": 3})
    run(all_of_them, blind(questions))
    one = workshop(say, run="one", kind="targets", keep="all", rollout={"prompts_at_once": 1})
    run(one, blind(questions)[3:4])
    assert lines(one.file) == [row for row in lines(all_of_them.file) if row["id"].startswith("q3#")]
    other = workshop(say, run="other", seed=8, kind="targets", keep="all")
    run(other, blind(questions))
    assert lines(other.file) != lines(all_of_them.file)


def test_parts_of_other_questions_are_refused(workshop: Callable[..., Any], questions: Questions) -> None:
    shop = workshop(say, kind="targets", keep="all")
    parts = shop.context.run.made("make") / "parts"
    prompts = blind(questions)

    def ask(asked: Sequence[Prompt]) -> list[Heard]:
        return [Heard(prompt) for prompt in asked]

    collect(prompts, ask, 2, parts, shop.context.progress, "make")
    with pytest.raises(RunFolderError, match="other prompts"):
        collect(prompts[1:], ask, 2, parts, shop.context.progress, "make")


def test_stages_take_no_rows_of_the_other_kind(workshop: Callable[..., Any], questions: Questions) -> None:
    shop = workshop(say, kind="targets", keep="majority")
    with pytest.raises(TypeError, match="reads no labels"):
        run(shop, questions)
    shop = workshop(say, kind="pairs", prefer="gold")
    with pytest.raises(TypeError, match="reads labels"):
        run(shop, blind(questions))


@pytest.mark.parametrize("rule", [{"keep": "majority"}, {"keep": "all"}, {"keep": "majority", "describe": True}])
def test_answers_never_reach_a_stage_without_labels(
    workshop: Callable[..., Any], questions: Questions, rule: dict[str, Any]
) -> None:
    """What is asked and written holds nothing of the labels, which are nowhere near: `Prompt` has no field for them."""
    marked = [replace(row, answer="SECRET", solution="SECRET", unit="SECRET") for row in questions]

    def speak(text: str, seed: int) -> str:
        assert "SECRET" not in text
        return say(text, seed) if "Question " in text else "dice"

    shop = workshop(speak, kind="targets", **rule)
    run(shop, blind(marked))
    assert "SECRET" not in shop.file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("settings", "speak", "said"),
    [
        ({"kind": "targets", "keep": "all"}, lambda t, s: "no box", "answers.extract"),
        ({"kind": "targets", "keep": "all"}, lambda t, s: r"\boxed{1}...", "max_new_tokens"),
        ({"kind": "targets", "keep": "gold"}, lambda t, s: r"\boxed{77}", "hardly ever right"),
        ({"kind": "targets", "keep": "majority"}, lambda t, s: rf"\boxed{{{s}}}", "temperature"),
        ({"kind": "pairs", "prefer": "gold"}, lambda t, s: r"\boxed{77}", "hardly ever right"),
        ({"kind": "pairs", "prefer": "corrupted"}, lambda t, s: "always this", "same text"),
    ],
)
def test_nothing_usable_is_said_with_counts_and_advice(
    workshop: Callable[..., Any], questions: Questions, settings: dict[str, Any], speak: Any, said: str
) -> None:
    shop = workshop(speak, **settings)
    with pytest.raises(DataError, match=said) as error:
        run(shop, questions if shop.stage.reads == "labels" else blind(questions))
    assert "stages.make: not one row came of 5 prompts" in str(error.value) and "left out: " in str(error.value)
    assert not shop.file.exists()


def test_a_response_that_spells_a_reserved_token_is_left_out(
    workshop: Callable[..., Any], questions: Questions
) -> None:
    """`sft` and `dpo` would read it as the end of the turn, and refuse the row."""

    def speak(text: str, seed: int) -> str:
        return rf"{seed % 97} <|im_end|> \boxed{{1}}" if seed % 2 else rf"{seed} \boxed{{1}}"

    shop = workshop(speak, kind="targets", keep="all")
    report = run(shop, blind(questions))
    assert report.left_out["spells a reserved token"] > 0 and "im_end" not in shop.file.read_text(encoding="utf-8")
    assert report.rows + sum(report.left_out.values()) == report.responses
    pairs = workshop(speak, run="pairs", kind="pairs", prefer="gold_over_own")
    other = run(pairs, questions)
    assert other.rows == report.rows and "im_end" not in pairs.file.read_text(encoding="utf-8")


def test_bad_and_long_rows_stop_or_are_counted(workshop: Callable[..., Any], questions: Questions) -> None:
    long = Prompt("long", "dice " * 500)
    bad = Prompt("bad", "<image>?", (ImageSource(data=b"no picture"),))
    prompts = [*blind(questions), long, bad]
    stops = workshop(say, run="stop", kind="targets", keep="all")
    with pytest.raises(DataError, match="prompt long has"):
        run(stops, prompts)
    skips = workshop(
        say, run="skip", kind="targets", keep="all", prompt={"too_long": "skip"}, data={"bad_rows": "skip"}
    )
    report = run(skips, prompts)
    assert report.refused == {"bad row": 1, "too long": 1} and report.prompts == 7
    assert {row["id"].split("#")[0] for row in lines(skips.file)} <= {row.prompt.id for row in questions}


def test_the_model_itself_makes_them(workshop: Callable[..., Any], questions: Questions) -> None:
    """The tiny model, untrained, through the real engine: what it says is no answer, and each count says so."""
    shop = workshop(None, kind="targets", keep="majority")
    with pytest.raises(DataError, match="5 prompts, 20 responses; left out: 20 unreadable"):
        run(shop, blind(questions))

"""Splits: no picture shared, the same rows every time, labels only where they belong."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from mmupt.data.settings import PAPER_SUFFIX
from mmupt.errors import ConfigError
from mmupt.types import Prompt
from mmupt.world.checker import answer_question, scene_from_key
from mmupt.world.export import write_world
from mmupt.world.kinds import KINDS
from mmupt.world.mixes import MIXES
from mmupt.world.settings import WorldSettings
from mmupt.world.skills import ASK, DESCRIBE, SKILLS, skill_row, wrong_answer
from mmupt.world.splits import SHARES, split_of, world_prompts, world_split
from mmupt.world.texts import world_texts

MIX_NAMES = list(MIXES)


def small(mix="dice", **changes) -> WorldSettings:
    sizes = {"sft_size": 300, "rl_size": 100, "unlabeled_size": 150, "test_size": 100}
    return WorldSettings(mix=mix, **{**sizes, **changes})


@pytest.mark.parametrize("mix", MIX_NAMES)
def test_splits_share_no_picture_whatever_seeds_and_sizes(mix):
    keys = {split: set() for split in SHARES}
    for seed in (0, 1):
        for split in SHARES:
            keys[split] |= {row.meta["key"] for row in world_split(small(mix, seed=seed), split)}
    for a in SHARES:
        for b in SHARES:
            assert a == b or not keys[a] & keys[b]


def test_shares_of_the_splits_come_out_as_written():
    rng = Random(0)
    counts = Counter(split_of(KINDS["table"].scene.random(rng)) for _ in range(4000))
    for split, share in SHARES.items():
        assert abs(counts[split] / 40 - share) < 3


@pytest.mark.parametrize("mix", MIX_NAMES)
@pytest.mark.parametrize("split", list(SHARES))
def test_rows_are_the_same_every_time_and_do_not_depend_on_the_size(mix, split):
    rows = world_split(small(mix), split)
    assert world_split(small(mix), split) == rows
    shorter = small(mix, sft_size=40, rl_size=40, unlabeled_size=40, test_size=40)
    assert world_split(shorter, split) == rows[:40]
    assert world_split(small(mix, seed=1), split) != rows
    assert [row.prompt.id for row in rows] == [f"world-{split}-{n}" for n in range(len(rows))]


def test_the_first_rows_are_pinned():
    """A change here changes every recorded run: make it on purpose."""
    first = world_split(small(), "sft")[:2]
    assert [(row.meta["key"], row.prompt.question, row.solution) for row in first] == [
        ("dice:blue5,blue6,red6,red6", "<image>Smallest die?", "5 2 4 6: smallest 2 \\boxed{2}"),
        ("dice:red2,red1,red2,red2", "<image>Smallest die?", "2 1 2 2: smallest 1 \\boxed{1}"),
    ]


@pytest.mark.parametrize(
    ("mix", "digest"),
    [("dice", "4e184f76947ee66c"), ("dice_skills", "e7b81d34ea54d5f9"), ("full", "a93f7436d7cccc7e")],
)
def test_the_worlds_of_recorded_runs_stay_as_they_are(mix, digest):
    """Everything but the pixels, whose bytes depend on the PNG encoder."""
    told = hashlib.sha256()
    for split in SHARES:
        for row in world_split(small(mix, sft_size=200), split):
            prompt = row.prompt
            told.update(repr((prompt.id, prompt.question, prompt.choices, row.answer, row.unit, row.solution)).encode())
            told.update(repr(sorted(row.meta.items())).encode())
    told.update("\n".join(world_texts(small(mix))).encode())
    assert told.hexdigest()[:16] == digest


@pytest.mark.parametrize("split", list(SHARES))
def test_a_path_may_name_another_mix(split):
    hard = world_split(small("dice"), split, "dice_hard")
    assert {row.meta["question"] for row in hard} == {"sum_of_color", "more_than", "sorted", "fraction"}
    same = world_split(small("dice_hard"), split)
    assert [replace(row, prompt=replace(row.prompt, id="")) for row in hard] == [
        replace(row, prompt=replace(row.prompt, id="")) for row in same
    ]
    assert [row.prompt.id for row in hard] == [f"world-{split}@dice_hard-{n}" for n in range(len(hard))]
    assert world_split(small("dice"), split, "dice") == world_split(small("dice"), split)
    assert world_prompts(small("dice"), split, "dice_hard") == [row.prompt for row in hard]


def test_splits_share_no_picture_when_their_mixes_differ():
    keys = {split: set() for split in SHARES}
    for mix in ("dice", "dice_hard", "dice_some_hard"):
        for split in SHARES:
            keys[split] |= {row.meta["key"] for row in world_split(small(mix), split)}
    assert not any(keys[a] & keys[b] for a in SHARES for b in SHARES if a != b)


def test_a_mix_of_families_teaches_what_each_of_them_asks():
    together = set(MIXES["dice_charts_icons"])
    assert together == set(MIXES["dice"]) | set(MIXES["charts"]) | set(MIXES["icons"])
    assert set(MIXES["dice_some_hard"]) == set(MIXES["dice"]) | set(MIXES["dice_hard"])
    scenes = {mix: {name for name, _ in MIXES[mix]} for mix in ("dice", "charts", "icons")}
    assert not scenes["dice"] & scenes["charts"] and not (scenes["dice"] | scenes["charts"]) & scenes["icons"]
    known = {(name, question.kind) for name, kind in KINDS.items() for question in kind.questions}
    known |= {(name, skill) for name in KINDS for skill in SKILLS}
    assert all(set(mix) <= known for mix in MIXES.values())


@pytest.mark.parametrize("mix", MIX_NAMES)
def test_answers_are_true_in_every_split_and_solutions_only_in_sft(mix, slow_answer):
    for split in SHARES:
        for row in world_split(small(mix, wrong_readings=0.5), split):
            assert row.prompt.question.startswith("<image>") and len(row.prompt.images) == 1
            assert (row.solution is not None) == (split == "sft")
            kind, text = row.meta["question"], row.prompt.question.removeprefix("<image>")
            if kind not in SKILLS:
                assert row.answer == slow_answer(row.meta["key"], text, row.prompt.choices)
            assert row.meta["level"] in (1, 2, 3)
            assert row.meta["key"].startswith(row.meta["scene"] + ":")


def test_wrong_readings_change_chains_but_never_prompts_or_answers():
    careful, careless = (world_split(small(wrong_readings=p), "sft") for p in (0.0, 0.6))
    assert [(row.prompt, row.answer) for row in careful] == [(row.prompt, row.answer) for row in careless]
    assert all(row.solution.endswith(f"\\boxed{{{row.answer}}}") for row in careful)
    right = sum(row.solution.endswith(f"\\boxed{{{row.answer}}}") for row in careless)
    assert 0 < right < 0.6 * len(careless)


def test_prompts_of_a_label_free_stage_are_the_rows_without_labels():
    prompts = world_prompts(small("full"), "unlabeled")
    assert prompts == [row.prompt for row in world_split(small("full"), "unlabeled")]
    assert all(type(prompt) is Prompt for prompt in prompts)


@pytest.mark.parametrize("split", ["rl", "unlabeled", "test"])
def test_no_prompt_comes_twice_outside_sft(split):
    rows = world_split(small("full", rl_size=600, unlabeled_size=600, test_size=600), split)
    assert len({(row.meta["key"], row.prompt.question, row.prompt.choices) for row in rows}) == 600


@pytest.mark.parametrize("mix", MIX_NAMES)
def test_mixes_ask_what_they_say(mix):
    asked = Counter((r.meta["scene"], r.meta["question"]) for r in world_split(small(mix, sft_size=1200), "sft"))
    assert set(asked) == set(MIXES[mix])
    total = sum(MIXES[mix].values())
    for entry, weight in MIXES[mix].items():
        share = weight / total
        assert abs(asked[entry] / 1200 - share) <= 4 * (share * (1 - share) / 1200) ** 0.5


def test_skills_stand_where_they_belong():
    for split in ("rl", "test", "unlabeled"):
        kinds = {row.meta["question"] for row in world_split(small("full", **{f"{split}_size": 500}), split)}
        assert kinds & set(SKILLS) == (set() if split == "unlabeled" else {"verify"})


def test_a_world_that_is_too_small_says_so(monkeypatch):
    monkeypatch.setattr(
        KINDS["dice"].scene, "random", classmethod(lambda cls, rng: cls((3, 5, 1, rng.randint(1, 6)), ("red",) * 4))
    )
    with pytest.raises(ConfigError, match=r"^\[world\]: test_size 100 is too large: .*; lower test_size"):
        world_split(small(), "test")


def test_verify_proposes_right_and_wrong_answers_equally_often(slow_answer):
    rows = [row for row in world_split(small("dice_skills", sft_size=4000), "sft") if row.meta["question"] == "verify"]
    yes = 0
    for row in rows:
        match = re.fullmatch(
            r"<image>Question: (.*) Answer: (.*) Is this answer right, yes or no\?", row.prompt.question
        )
        assert match
        assert row.answer == ("yes" if slow_answer(row.meta["key"], match[1]) == match[2] else "no")
        yes += row.answer == "yes"
    assert len(rows) > 200 and abs(yes / len(rows) - 0.5) < 0.1


@pytest.mark.parametrize("name", list(KINDS))
def test_wrong_answers_are_wrong_and_found_for_every_question(name):
    rng = Random(0)
    for _ in range(40):
        scene = KINDS[name].scene.random(rng)
        for question in KINDS[name].questions:
            if question.valid(scene):
                assert wrong_answer(question, scene, rng) != question.solve(scene).answer


def test_asked_questions_can_be_answered_and_differ_from_the_given_one():
    asked = 0
    for row in world_split(small("full", sft_size=2000), "sft"):
        kind, scene = row.meta["question"], scene_from_key(row.meta["key"])
        if kind in ("ask", "ask_another"):
            asked += 1
            assert answer_question(scene, row.solution) is not None
        if kind == "ask":
            assert row.prompt.question == f"<image>{ASK}"
        if kind == "ask_another":
            old = row.prompt.question.removeprefix("<image>Ask another question than: ")
            assert old != row.solution and answer_question(scene, old) is not None
        if kind == "describe":
            assert row.prompt.question == f"<image>{DESCRIBE}" and row.answer == scene.describe()
    assert asked > 50


def test_skills_without_misreading_are_right():
    rng = Random(5)
    for name, kind in KINDS.items():
        for _ in range(50):
            scene = kind.scene.random(rng)
            valid = [q for q in kind.questions if q.valid(scene) and q.choices is None]
            verify = skill_row("verify", scene, valid, rng, 0.0)
            assert verify.solution.endswith(f"\\boxed{{{verify.answer}}}"), name
            assert skill_row("describe", scene, valid, rng, 0.0).solution == scene.describe()
    with pytest.raises(ValueError, match="no skill"):
        skill_row("sing", scene, valid, rng, 0.0)


@pytest.mark.parametrize("mix", MIX_NAMES)
def test_texts_hold_every_word_of_every_row(mix):
    def words(text: str) -> set[str]:
        return set(re.findall(r"[A-Za-z]+|\d+|[^\sA-Za-z\d]", text))

    known = {word for text in world_texts(small(mix)) for word in words(text)}
    assert PAPER_SUFFIX in set(world_texts(small(mix)))
    for split in SHARES:
        for row in world_split(small(mix, sft_size=1500), split):
            text = " ".join((row.prompt.question.removeprefix("<image>"), row.answer, row.solution or ""))
            assert words(text) | words(" ".join(row.prompt.choices or ())) <= known, text


def test_texts_do_not_depend_on_seed_or_size():
    assert list(world_texts(small())) == list(world_texts(small(seed=9, sft_size=5)))


def test_the_written_world_reads_back(tmp_path):
    from mmupt.data.dataset import load_labeled, load_prompts
    from mmupt.data.settings import DataSettings

    settings = small("full", sft_size=40, rl_size=20, unlabeled_size=20, test_size=20)
    write_world(settings, tmp_path)
    for split in ("sft", "rl", "test"):
        read = load_labeled(DataSettings(path=str(tmp_path), split=split)).rows
        for ours, theirs in zip(world_split(settings, split), read, strict=True):
            assert theirs.prompt.question == ours.prompt.question and theirs.prompt.choices == ours.prompt.choices
            assert (theirs.prompt.id, theirs.answer, theirs.unit) == (ours.prompt.id, ours.answer, ours.unit)
            assert theirs.solution == ours.solution
            assert {**ours.meta}.items() <= {**theirs.meta}.items()
    prompts = load_prompts(DataSettings(path=str(tmp_path), split="unlabeled")).rows
    assert [prompt.question for prompt in prompts] == [p.question for p in world_prompts(settings, "unlabeled")]
    assert '"answer"' not in (tmp_path / "unlabeled.jsonl").read_text()

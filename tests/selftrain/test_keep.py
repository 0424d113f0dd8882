"""Each rule of `targets` on groups made by hand, and beside a slow reading of the same rule on random ones."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from mmupt.answers.equivalence import same
from mmupt.answers.settings import AnswerSettings
from mmupt.selftrain.heard import Heard
from mmupt.selftrain.keep.base import Choice, KeepRule, Target, bounded
from mmupt.selftrain.keep.data import FromData
from mmupt.selftrain.keep.everything import Everything
from mmupt.selftrain.keep.gold import Gold
from mmupt.selftrain.keep.majority import Majority
from mmupt.selftrain.keep.registry import build_keep
from mmupt.selftrain.keep.self_check import SelfCheck
from mmupt.selftrain.settings import TargetsStage
from mmupt.types import LabeledPrompt, Prompt

HeardOf = Callable[..., Heard]
LABEL = LabeledPrompt(Prompt("p", "How many?"), answer="1/2")
ANSWERS = AnswerSettings()


def kept(choice: Choice) -> list[int]:
    return [int(target.name) for target in choice.kept]


def test_majority_by_hand(heard_of: HeardOf) -> None:
    heard = heard_of("1/2", "3", "0.5", None, "3", r"\frac{1}{2}", "0.50", cut=(6,))
    choice = Majority(ANSWERS, 0.0).choose(heard)
    assert kept(choice) == [0, 2, 5], "equal answers vote together, and what was cut off votes but is not imitated"
    assert choice.left_out == {"not the majority answer": 2, "unreadable": 1, "cut off": 1}
    assert choice.kept[1] == Target("way 2 to 0.5", "0.5", "2", {"share": 4 / 7})


def test_a_tie_has_no_majority_and_nobody_to_read_neither(heard_of: HeardOf) -> None:
    assert Majority(ANSWERS, 0.0).choose(heard_of("1", "2", "2", "1")) == Choice((), {"no majority": 4})
    assert Majority(ANSWERS, 0.0).choose(heard_of(None, None)) == Choice((), {"unreadable": 2})


def test_a_majority_may_be_too_small(heard_of: HeardOf) -> None:
    heard = heard_of("1", "1", "2", "3")
    assert Majority(ANSWERS, 0.51).choose(heard) == Choice((), {"majority too small": 4})
    assert kept(Majority(ANSWERS, 0.5).choose(heard)) == [0, 1]


def test_choices_vote_by_what_they_name(heard_of: HeardOf) -> None:
    heard = heard_of("B", "4", "3", "A. 3", "b", choices=("3", "4"))
    assert kept(Majority(ANSWERS, 0.0).choose(heard)) == [0, 1, 4]


def test_self_check_by_hand(heard_of: HeardOf) -> None:
    heard = heard_of("1", "2", "3", None, "4", "5", scores=(0.7, 0.71, 0.95, None, None, 0.9), cut=(5,))
    choice = SelfCheck(0.7).choose(heard)
    assert kept(choice) == [2, 1], "above the threshold, the surest first"
    assert choice.left_out == {"not sure enough": 1, "unreadable": 1, "no verdict": 1, "cut off": 1}
    assert [target.why for target in choice.kept] == [{"p_yes": 0.95}, {"p_yes": 0.71}]


def test_gold_by_hand(heard_of: HeardOf) -> None:
    choice = Gold(ANSWERS, {"p": LABEL}).choose(heard_of("0.5", "2", None, "1/2", "50%", cut=(3,)))
    assert kept(choice) == [0, 4]
    assert choice.left_out == {"wrong": 1, "unreadable": 1, "cut off": 1}


def test_everything_is_all_that_can_be_read(heard_of: HeardOf) -> None:
    choice = Everything().choose(heard_of("1", None, "2", "3", cut=(3,)))
    assert kept(choice) == [0, 2] and choice.left_out == {"unreadable": 1, "cut off": 1}


def test_the_data_itself(heard_of: HeardOf) -> None:
    assert FromData({"p": LABEL}).choose(heard_of()).kept == (Target(r"\boxed{1/2}", "1/2", "data"),)
    solved = LabeledPrompt(LABEL.prompt, "1/2", solution="half of it")
    assert FromData({"p": solved}).choose(heard_of()).kept == (Target("half of it", "1/2", "data"),)


def test_a_text_is_kept_once_and_a_prompt_is_bounded(heard_of: HeardOf) -> None:
    heard = heard_of("1", "1", "1", "1", texts=["a", " b ", "a", "c"])
    choice = Everything().choose(heard)
    assert [(t.text, t.name) for t in bounded(choice, 0).kept] == [("a", "0"), ("b", "1"), ("c", "3")]
    assert bounded(choice, 0).left_out == {"said before": 1}
    assert [t.name for t in bounded(choice, 2).kept] == ["0", "1"]
    assert bounded(choice, 2).left_out == {"said before": 1, "over per_prompt": 1}


def slowly(rule: str, heard: Heard) -> set[int]:
    """The rules in one line each, from pairwise comparisons."""
    read = [i for i, answer in enumerate(heard.answers) if answer is not None]
    friends = {i: [j for j in read if same(str(heard.answers[i]), str(heard.answers[j]))] for i in read}
    most = max((len(f) for f in friends.values()), default=0)
    winners = [i for i in read if len(friends[i]) == most]
    assert heard.scores is not None
    good = {
        "majority": winners if len(winners) == most else [],
        "self_check": [i for i in read if heard.scores[i] is not None and float(heard.scores[i] or 0) > 0.7],
        "all": read,
        "gold": [i for i in read if same(str(heard.answers[i]), LABEL.answer)],
    }[rule]
    return {i for i in good if heard.responses[i].stop == "end"}


RULES: dict[str, KeepRule] = {
    "majority": Majority(ANSWERS, 0.0),
    "self_check": SelfCheck(0.7),
    "all": Everything(),
    "gold": Gold(ANSWERS, {"p": LABEL}),
}


@pytest.mark.parametrize("rule", RULES)
def test_random_groups_against_the_slow_reading(heard_of: HeardOf, rule: str) -> None:
    rng = random.Random(0)
    sizes = Counter[bool]()
    for _ in range(200):
        size = rng.randint(1, 9)
        answers = [rng.choice(["1/2", "0.5", "50%", "2", "2.0", "3", None]) for _ in range(size)]
        scores = [rng.choice([None, 0.2, 0.7, 0.8, 1.0]) for _ in range(size)]
        heard = heard_of(*answers, scores=scores, cut=[i for i in range(size) if rng.random() < 0.2])
        choice = RULES[rule].choose(heard)
        assert set(kept(choice)) == slowly(rule, heard)
        assert len(choice.kept) + sum(choice.left_out.values()) == size, "every response is accounted for"
        sizes[bool(choice.kept)] += 1
    assert sizes[True] > 20 and sizes[False] > 5


@pytest.mark.parametrize("keep", ["majority", "self_check", "all", "gold", "data"])
def test_only_rules_that_read_labels_are_handed_any(keep: str) -> None:
    stage = TargetsStage.model_validate(
        {"kind": "targets", "name": "x", "data": {"path": "x"}, "keep": keep, "describe": keep == "data"}
    )
    if stage.reads == "prompts":
        assert build_keep(stage, None).name == keep
    else:
        assert build_keep(stage, {"p": LABEL}).name == keep
        with pytest.raises(ValueError, match="reads labels"):
            build_keep(stage, None)

"""Each rule of `pairs` on groups made by hand, and beside a slow reading of the same rule on random ones."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest

from mmupt.answers.equivalence import grade
from mmupt.answers.settings import AnswerSettings
from mmupt.selftrain.heard import Heard
from mmupt.selftrain.prefer.base import Preference, Preferences, different
from mmupt.selftrain.prefer.corrupted import GoodOverPoor
from mmupt.selftrain.prefer.gold import RightOverWrong
from mmupt.selftrain.prefer.gold_over_own import DataOverOwn
from mmupt.selftrain.prefer.judge import BestOverWorst
from mmupt.selftrain.prefer.registry import build_prefer
from mmupt.selftrain.settings import PairsStage
from mmupt.types import LabeledPrompt, Prompt

HeardOf = Callable[..., Heard]
LABEL = LabeledPrompt(Prompt("p", "How many?"), answer="1", solution="the solution")
ANSWERS = AnswerSettings()


def texts(found: Preferences) -> list[tuple[str, str]]:
    return [(pair.chosen, pair.rejected) for pair in found.found]


def test_each_pair_is_there_once_and_no_text_is_empty() -> None:
    pairs = [Preference(*texts) for texts in (("a", "b"), ("", "b"), ("a", "a"), ("c", "b"), ("a", "b"), ("a", ""))]
    found = different([replace(pair, why={"n": n}) for n, pair in enumerate(pairs)])
    assert [(pair.chosen, pair.rejected, pair.why["n"]) for pair in found.found] == [("a", "b", 0), ("c", "b", 3)]
    assert found.left_out == {"empty": 2, "both the same": 1, "said before": 1}


def test_best_over_worst_by_hand(heard_of: HeardOf) -> None:
    heard = heard_of("1", "2", "3", "4", "5", "6", scores=(2.0, 4.0, None, 4.0, 1.0, 5.0), cut=(5,))
    found = BestOverWorst(0.0).prefer(heard)
    assert found.found == (Preference("way 1 to 2", "way 4 to 5", {"best": 4.0, "worst": 1.0}),)
    assert BestOverWorst(3.0).prefer(heard) == Preferences((), {"all score alike": 1}), "more than the margin"
    assert texts(BestOverWorst(2.9).prefer(heard)) == [("way 1 to 2", "way 4 to 5")]


def test_scores_that_are_alike_or_too_few_bring_nothing(heard_of: HeardOf) -> None:
    assert BestOverWorst(0.0).prefer(heard_of("1", "2", scores=(3.0, 3.0))).left_out == {"all score alike": 1}
    few = heard_of("1", "2", "3", scores=(3.0, None, 5.0), cut=(2,))
    assert BestOverWorst(0.0).prefer(few).left_out == {"fewer than two answers with a score": 1}


def test_best_over_worst_against_all_pairs(heard_of: HeardOf) -> None:
    rng = random.Random(1)
    made = 0
    for _ in range(200):
        size = rng.randint(2, 7)
        scores = [rng.choice([None, 0.0, 1.5, 2.0, 5.0]) for _ in range(size)]
        heard = heard_of(*map(str, range(size)), scores=scores, cut=[i for i in range(size) if rng.random() < 0.2])
        usable = [(i, s) for i, s in enumerate(scores) if s is not None and heard.responses[i].stop == "end"]
        gaps = {(i, j): a - b for (i, a), (j, b) in product(usable, usable) if a - b > 1.0}
        found = BestOverWorst(1.0).prefer(heard)
        if not gaps:
            assert not found.found and sum(found.left_out.values()) == 1
            continue
        made += 1
        widest = min(pair for pair, gap in gaps.items() if gap == max(gaps.values()))
        assert texts(found) == [tuple(heard.responses[i].text for i in widest)]
    assert 50 < made < 190


def test_right_over_wrong_by_hand(heard_of: HeardOf) -> None:
    heard = heard_of("1", "2", "1.0", None, "3", "1", "1", cut=(5,), texts=["a", "b", "c", "d", "e", "f", "a"])
    rule = RightOverWrong(ANSWERS, {"p": LABEL}, 0)
    assert texts(rule.prefer(heard)) == [("a", "b"), ("c", "d")], "no response twice; what cannot be read is wrong"
    bounded = RightOverWrong(ANSWERS, {"p": LABEL}, 1).prefer(heard)
    assert texts(bounded) == [("a", "b")] and bounded.left_out == {"over per_prompt": 1}
    assert rule.prefer(heard_of("1", "1")).left_out == {"no wrong answer": 1}
    assert rule.prefer(heard_of("2", None)).left_out == {"no right answer": 1}
    assert rule.prefer(heard_of("1", "2", cut=(0, 1))).left_out == {"cut off": 1}


def test_right_over_wrong_is_right_over_wrong(heard_of: HeardOf) -> None:
    rng = random.Random(2)
    for _ in range(100):
        answers = [rng.choice(["1", "1.0", "2", "3", None]) for _ in range(rng.randint(2, 8))]
        heard = heard_of(*answers)
        found = RightOverWrong(ANSWERS, {"p": LABEL}, 0).prefer(heard)
        right = [grade(answer, "1") for answer in answers]
        assert len(found.found) == min(right.count(True), right.count(False))
        by_text = {response.text: verdict for response, verdict in zip(heard.responses, right, strict=True)}
        assert all(by_text[good] and not by_text[bad] for good, bad in texts(found))


def test_the_data_over_own_answers(heard_of: HeardOf) -> None:
    heard = heard_of("1", "2", "3", "1", texts=["a", "the solution", "a", "b..."], cut=(3,))
    found = DataOverOwn({"p": LABEL}, 0).prefer(heard)
    assert texts(found) == [("the solution", "a")], "whatever it says, once, and never a text over itself"
    assert found.left_out == {"both the same": 1, "said before": 1}
    many = DataOverOwn({"p": LABEL}, 2).prefer(heard_of("1", "2", "3"))
    assert len(many.found) == 2 and many.left_out == {"over per_prompt": 1}
    bare = LabeledPrompt(LABEL.prompt, "1")
    assert DataOverOwn({"p": bare}, 0).prefer(heard).left_out == {"no worked solution in the data": 1}
    assert DataOverOwn({"p": LABEL}, 0).prefer(heard_of("1", cut=(0,))).left_out == {"cut off": 1}


def test_a_good_description_over_a_poor_one(heard_of: HeardOf) -> None:
    rule = GoodOverPoor()
    heard = heard_of(None, None, texts=["four dice", "a red dog"], how="low_resolution")
    assert rule.prefer(heard).found == (Preference("four dice", "a red dog", {"how": "low_resolution"}),)
    assert rule.prefer(heard_of(None, None, texts=["x", " x "])).left_out == {"both the same": 1}
    assert rule.prefer(heard_of(None, None, texts=[" ", "x"])).left_out == {"empty": 1}
    assert rule.prefer(heard_of(None, None, cut=(1,))).left_out == {"cut off": 1}


@pytest.mark.parametrize("prefer", ["judge", "corrupted", "gold", "gold_over_own"])
def test_only_rules_that_read_labels_are_handed_any(prefer: str) -> None:
    stage = PairsStage.model_validate({"kind": "pairs", "name": "x", "data": {"path": "x"}, "prefer": prefer})
    if stage.reads == "prompts":
        assert build_prefer(stage, None).name == prefer
    else:
        assert build_prefer(stage, {"p": LABEL}).name == prefer
        with pytest.raises(ValueError, match="reads labels"):
            build_prefer(stage, None)

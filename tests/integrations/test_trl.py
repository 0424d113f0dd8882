"""The vote under TRL: what a reward function is handed, groups split over processes, and the real GRPOTrainer."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmupt.errors import ConfigError
from mmupt.integrations.trl import VoteReward, completion_text, prompt_digest
from mmupt.integrations.voting import Voter
from mmupt.rewards.majority_vote import agreement
from mmupt.rewards.soft_vote import cluster_shares

WORKER = Path(__file__).with_name("trl_worker.py")


def boxed(*answers: str | None) -> list[str]:
    return ["I cannot say." if a is None else rf"so \boxed{{{a}}}" for a in answers]


def test_one_process_plain_text() -> None:
    reward = VoteReward(4)
    answers = boxed("3", "3.0", "4", None) + boxed("1", "2", None, None)
    assert reward(["p"] * 4 + ["q"] * 4, answers) == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert VoteReward(4, kind="soft")(["p"] * 4, answers[:4]) == [0.5, 0.5, 0.25, 0.0]
    assert VoteReward(4, quorum=0.8)(["p"] * 4, answers[:4]) == [0.0] * 4
    assert VoteReward(4, ties="first")(["q"] * 4, answers[4:]) == [1.0, 0.0, 0.0, 0.0]
    assert VoteReward(2, extract="tag:a")(["p"] * 2, ["<a>1</a>", r"\boxed{1}"]) == [1.0, 0.0]
    assert (reward.__name__, VoteReward(2, kind="soft").__name__) == ("majority_vote", "soft_vote")


def test_conversations() -> None:
    prompt = [{"role": "user", "content": "1+2?"}]
    completions = [
        [{"role": "assistant", "content": r"\boxed{3}"}],
        [{"role": "assistant", "content": [{"type": "text", "text": r"\boxed"}, {"type": "text", "text": "{3}"}]}],
        [{"role": "assistant", "content": r"\boxed{4}"}, {"role": "tool", "content": r"\boxed{3}"}],
        [],
    ]
    assert VoteReward(4)([prompt] * 4, completions) == [1.0, 1.0, 0.0, 0.0]
    assert completion_text([{"role": "assistant", "content": None}]) == ""


def test_options_vote_with_their_texts() -> None:
    choices = [["40 km", "45 km"]] * 3
    assert VoteReward(3)(["p"] * 3, boxed("B", "45 km", "A"), choices=choices) == [1.0, 1.0, 0.0]
    assert VoteReward(3)(["p"] * 3, boxed("B", "45 km", "A"), choices=[None] * 3) == [0.0, 0.0, 0.0]


def test_two_questions_of_the_same_words_are_two_groups() -> None:
    """The same text about two pictures: only their place among all rows tells the groups apart."""
    assert VoteReward(2)(["p"] * 4, boxed("1", "1", "2", "3")) == [1.0, 1.0, 0.0, 0.0]


def test_what_is_no_group_is_refused() -> None:
    with pytest.raises(ConfigError, match="no multiple"):
        VoteReward(4)(["p"] * 3, boxed("1", "1", "1"))
    with pytest.raises(ConfigError, match="do not belong to one prompt"):
        VoteReward(4)(["p", "p", "q", "q"], boxed("1", "1", "1", "1"))
    with pytest.raises(ValueError, match="two or more"):
        VoteReward(1)
    with pytest.raises(ValueError, match="majority"):
        VoteReward(2, kind="mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="extraction mode"):
        VoteReward(2, extract="box")


def test_digests_tell_prompts_apart_pictures_included() -> None:
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    image, same = Image.fromarray(pixels), Image.fromarray(pixels.copy())
    pixels[0, 0] = 255
    other = Image.fromarray(pixels)

    def asked(picture: Any, text: str = "how many?") -> Any:
        content = [{"type": "image", "image": picture}, {"type": "text", "text": text}]
        return [{"role": "user", "content": content}]

    assert prompt_digest(asked(image)) == prompt_digest(asked(same))
    assert len({prompt_digest(p) for p in (asked(image), asked(other), asked(image, "why?"), "how many?")}) == 4


def test_figures_go_into_the_trainers_log() -> None:
    told: dict[str, float] = {}
    VoteReward(4)(["p"] * 4 + ["q"] * 4, boxed("1", "1", "2", None, "1", "2", "3", "4"), log_metric=told.__setitem__)
    assert told == {"vote/share": 0.375, "vote/unreadable": 0.125, "vote/undecided": 0.5}


RANK = """
import json, sys
import torch.distributed as dist
from mmupt.integrations.trl import VoteReward
rank, meeting, texts = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
print(json.dumps(VoteReward(4)(["p"] * len(texts), texts)))
dist.destroy_process_group()
"""


def test_a_group_split_over_two_processes_is_one_group(tmp_path: Path) -> None:
    """Without TRL. The first group is a tie, which the first process alone would call a majority for 1."""
    whole = boxed("1", "1", "2", "2") + boxed("3", None, "4", "3")
    parts = (whole[:3], whole[3:])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(tmp_path / "meeting"), json.dumps(part)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank, part in enumerate(parts)
    ]
    found = [json.loads(process.communicate(timeout=200)[0]) for process in processes]
    reference = VoteReward(4)(["p"] * 8, whole)
    assert found[0] + found[1] == reference == [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]
    alone = [list(agreement(Voter().rewards([Voter().answer(t) for t in part], key="")[1])) for part in parts]
    assert alone[0] + alone[1] != reference


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, Any]]]:
    """What the real GRPOTrainer handed the reward on each of two processes, and what it was given, call by call."""
    if importlib.util.find_spec("trl") is None:
        pytest.skip("TRL is not installed (pip install mmupt[dev])")
    out = tmp_path_factory.mktemp("trl")
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(WORKER), str(out)],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads((out / f"rank-{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.slow
def test_a_group_that_trl_has_split_votes_as_a_whole(ranks: list[list[dict[str, Any]]]) -> None:
    """Eight rows of one prompt, four on each process. The reference puts all eight to the vote where they stand
    together; what each process would elect by itself is something else."""
    calls = list(zip(*ranks, strict=True))
    assert len(calls) == 4
    naive_was_wrong = False
    for first, second in calls:
        for rank in (first, second):
            assert len(rank["texts"]) == 4
        assert len({*first["prompts"], *second["prompts"]}) == 1, "TRL has split a group"
        voter = Voter(extract="lenient")
        answers = [voter.answer(text) for text in first["texts"] + second["texts"]]
        assert any(answers)
        _, vote = voter.rewards(answers, key="reference")
        reference, soft = list(agreement(vote)), list(cluster_shares(vote))
        assert first["majority"] + second["majority"] == reference
        assert first["soft"] + second["soft"] == soft
        alone = [list(voter.rewards(part, key="alone")[0]) for part in (answers[:4], answers[4:])]
        naive_was_wrong |= alone[0] + alone[1] != reference
    assert naive_was_wrong, "voting in each process alone would have done: the test shows nothing"


@pytest.mark.slow
def test_trl_learns_from_what_the_vote_gave(ranks: list[list[dict[str, Any]]]) -> None:
    """The logged mean reward is the mean over the whole group of both rewards, and the vote's figures are there."""
    logs = ranks[0][-1]["logs"]
    for step, (first, second) in enumerate(zip(*ranks, strict=True)):
        rewards = first["majority"] + second["majority"]
        assert logs[step]["rewards/majority_vote/mean"] == pytest.approx(sum(rewards) / 8)
        assert 0 < logs[step]["vote/share"] <= 1

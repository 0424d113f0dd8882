from __future__ import annotations

import json
import random
from collections import Counter

import pytest

WON = {"id": "won", "responses": [r"\boxed{1/2}", r"\boxed{0.5}", r"\boxed{7}", ""], "choices": None, "answer": "0.5"}
TIED = {"id": "tied", "responses": ["A", "(A)", "B", "4", "I cannot say which one it is."], "choices": ["3", "4", "5"]}
SILENT = {"id": "silent", "responses": ["", " "], "answer": 4}


def test_votes_of_groups(jsonl, command, lines_of, tmp_path) -> None:
    out = tmp_path / "voted.jsonl"
    path = jsonl([WON, {**TIED, "answer": "B"}, SILENT])
    figures = json.loads(command("vote", path, "--json", "--out", out).stdout)
    assert lines_of(out) == [
        {"id": "won", "majority": "1/2", "share": 0.5, "tie": False, "num_answers": 3, "correct": 1.0},
        {"id": "tied", "majority": None, "share": 0.4, "tie": True, "num_answers": 4, "correct": 0.5},
        {"id": "silent", "majority": None, "share": 0.0, "tie": False, "num_answers": 0, "correct": 0.0},
    ]
    assert figures == {
        "groups": 3,
        "mean_accuracy": pytest.approx((2 / 4 + 2 / 5 + 0) / 3),
        "majority_accuracy": pytest.approx((1 + 0.5 + 0) / 3),
        "pass_at_k": pytest.approx(2 / 3),
        "ties": 1,
        "no_answer_groups": 1,
    }


@pytest.mark.parametrize("answer", ["B", "45 km"])
def test_an_option_that_is_named_by_its_value_only(answer, jsonl, command, lines_of, tmp_path) -> None:
    """The cluster shows a letter that no response wrote."""
    out = tmp_path / "voted.jsonl"
    row = {"responses": [r"\boxed{45 km}", "So it is 45 km.", r"\boxed{36 km}"], "choices": ["36 km", "45 km"]}
    command("vote", jsonl([{**row, "answer": answer}]), "--out", out)
    (voted,) = lines_of(out)
    assert (voted["majority"], voted["correct"]) == ("B", 1.0)


def test_groups_without_a_gold_answer(jsonl, command, lines_of, tmp_path) -> None:
    out = tmp_path / "voted.jsonl"
    figures = json.loads(command("vote", jsonl([{**WON, "answer": None}, TIED]), "--json", "--out", out).stdout)
    assert [row["correct"] for row in lines_of(out)] == [None, None]
    accuracies = ("mean_accuracy", "majority_accuracy", "pass_at_k")
    assert [figures[name] for name in accuracies] == [None, None, None]
    figures = json.loads(command("vote", jsonl([WON, TIED]), "--json").stdout)
    assert [figures[name] for name in accuracies] == [0.5, 1.0, 1.0]  # over the labeled group
    assert figures["groups"] == 2 and figures["ties"] == 1


def test_policies_for_ties_and_the_quorum(jsonl, command, lines_of, tmp_path) -> None:
    out = tmp_path / "voted.jsonl"

    def correct(answer: str, *options: str) -> tuple[object, object]:
        command("vote", jsonl([{**TIED, "answer": answer}]), "--out", out, "--overwrite", *options)
        (row,) = lines_of(out)
        return row["majority"], row["correct"]

    assert correct("B", "--ties", "first") == ("A", 0.0)
    assert correct("A", "--ties", "first") == ("A", 1.0)
    assert correct("A", "--quorum", "0.8") == (None, 0.5)
    assert correct("A", "--quorum", "0.81") == (None, 0.0)
    assert correct("A", "--quorum", "0.81", "--ties", "first") == (None, 0.0)


def test_random_ties_depend_on_seed_and_id_alone(jsonl, command, lines_of, tmp_path) -> None:
    rows = [{"id": f"q{n}", "responses": ["A", "B"], "choices": ["1", "2"]} for n in range(64)]
    out = tmp_path / "voted.jsonl"

    def winners(order: list[dict[str, object]], seed: int) -> dict[str, str]:
        command("vote", jsonl(order), "--ties", "random", "--seed", seed, "--out", out, "--overwrite")
        return {row["id"]: row["majority"] for row in lines_of(out)}

    first = winners(rows, 0)
    assert 16 < Counter(first.values())["A"] < 48  # each group draws for itself
    assert winners(rows[::-1], 0) == first
    assert winners(rows, 1) != first


def test_tolerance(jsonl, command) -> None:
    path = jsonl([{"responses": ["10", "10.05", "11", "12"], "answer": "10.02"}])

    def majority(*options: str) -> object:
        return json.loads(command("vote", path, "--json", *options).stdout)["majority_accuracy"]

    assert majority() == 0.0
    assert majority("--tolerance", "0.01") == 1.0


@pytest.mark.parametrize(
    "options",
    [
        ("--ties", "last"),
        ("--quorum", "1.5"),
        ("--quorum", "nan"),
        ("--tolerance", "1"),
        ("--tolerance", "nan"),
        ("--extract", "last"),
        ("--bad-rows", "drop"),
    ],
)
def test_options_that_make_no_sense(jsonl, refusal, options) -> None:
    message = refusal("vote", jsonl([WON]), *options)
    assert message.startswith(options[0]) and ("use" in message or "give" in message)


def test_the_readable_output(jsonl, command, tmp_path) -> None:
    printed = command("vote", jsonl([WON, TIED]), "--out", tmp_path / "new" / "voted.jsonl").stdout
    rows = dict(line.rsplit("  ", 1) for line in printed.splitlines() if "  " in line)
    assert {name.strip(): value.strip() for name, value in rows.items()} == {
        "groups": "2",
        "labeled groups": "1",
        "mean accuracy": "50.00 %",
        "majority accuracy": "100.00 %",
        "pass@k": "100.00 %",
        "ties": "1",
        "groups without an answer": "0",
    }
    assert "written: " in printed
    assert "not labeled" in command("vote", jsonl([TIED])).stdout


def test_random_letters_against_counting(jsonl, command, lines_of, tmp_path) -> None:
    rng = random.Random(1)
    rows = []
    for n in range(100):
        responses = [rng.choice(["A", "B", "C", "D", ""]) for _ in range(rng.randrange(1, 9))]
        rows.append({"id": n, "responses": responses, "choices": ["1", "2", "3", "4"], "answer": "C"})
    out = tmp_path / "voted.jsonl"
    figures = json.loads(command("vote", jsonl(rows), "--json", "--out", out).stdout)
    mean = majority = passed = ties = silent = 0.0
    for row, voted in zip(rows, lines_of(out), strict=True):
        counts = Counter(r for r in row["responses"] if r)
        top = [letter for letter, count in counts.items() if count == max(counts.values())]
        credit = (("C" in top) / len(top)) if top else 0.0
        assert voted == {
            "id": str(row["id"]),
            "majority": top[0] if len(top) == 1 else None,
            "share": max(counts.values(), default=0) / len(row["responses"]),
            "tie": len(top) > 1,
            "num_answers": sum(counts.values()),
            "correct": credit,
        }
        mean += counts["C"] / len(row["responses"])
        majority += credit
        passed += counts["C"] > 0
        ties += len(top) > 1
        silent += not top
    expected = {"mean_accuracy": mean / 100, "majority_accuracy": majority / 100, "pass_at_k": passed / 100}
    assert figures == pytest.approx({"groups": 100, **expected, "ties": ties, "no_answer_groups": silent})


def test_real_groups(shared_data, command) -> None:
    path = shared_data / "responses" / "groups_symbolic_conventional_k10.jsonl"
    if not path.is_file():
        pytest.skip(f"no real responses: {path.name} is absent")
    figures = json.loads(command("vote", path, "--extract", "tag:answer", "--json").stdout)
    assert (figures["groups"], figures["ties"]) == (210, 11)
    first = json.loads(command("vote", path, "--extract", "tag:answer", "--json", "--ties", "first").stdout)
    # 74 groups are won by the right answer; the ties share out what they have.
    assert 74 / 210 <= figures["majority_accuracy"] <= 85 / 210
    assert first["majority_accuracy"] * 210 == pytest.approx(round(first["majority_accuracy"] * 210))

from __future__ import annotations

from mmupt.data.problems import LISTED, SkippedRow, bad_rows_message

BAD = [SkippedRow(f"f.jsonl:{n}", "answer: is missing; write it") for n in range(1, 20)]


def test_one_bad_row_is_one_line() -> None:
    assert bad_rows_message(BAD[:1], count=1, none_left=False, advice=None) == "f.jsonl:1: answer: is missing; write it"


def test_the_first_few_stand_for_all() -> None:
    message = bad_rows_message(BAD[:LISTED], count=19, none_left=True, advice="Do this.")
    assert message == bad_rows_message(BAD, count=19, none_left=True, advice="Do this.")
    lines = message.split("\n")
    assert lines[1] == "18 other bad rows, the first 5 of them:"
    assert lines[2:7] == [f"  - {row.where}: {row.reason}" for row in BAD[1:6]]
    assert lines[7:] == ["No usable row is left.", "Do this."]


def test_a_complete_list_says_so() -> None:
    assert "\n1 other bad row:\n" in bad_rows_message(BAD[:2], count=2, none_left=False, advice=None)
    assert "\n5 other bad rows:\n" in bad_rows_message(BAD[:6], count=6, none_left=False, advice=None)

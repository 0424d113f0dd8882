"""Groups on disk: what goes in comes back."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from mmupt.errors import RunFolderError
from mmupt.runtime.groups import read_groups, write_groups
from mmupt.types import Cluster, EncodedPrompt, GroupScore, ImageSource, Prompt, Rollout, RolloutGroup, Vote


def group(prompt: Prompt, texts: tuple[str, ...]) -> RolloutGroup:
    encoded = EncodedPrompt(torch.zeros(1, dtype=torch.long), torch.zeros(3, 1, dtype=torch.long), 1, {})
    rollouts = tuple(Rollout((1,) * (i + 1), (-0.5,) * (i + 1), text, "end") for i, text in enumerate(texts))
    return RolloutGroup(prompt, encoded, rollouts, visit=2, policy_version=7)


OPEN = group(
    Prompt("p1", "<image><image>How many?", (ImageSource("a.png", b"unused"), ImageSource(data=b"\x89PNG"))),
    ("so \\boxed{3}", "\ud800?", "\\boxed{3.0}"),
)
SCORE = GroupScore((1.0, 0.0, 1.0), Vote(3, ("3", None, "3.0"), (Cluster("3", (0, 2)),), 0, False))
CHOICE = group(Prompt("p2", "Which?", choices=("A", "B")), ("A", "B", "?"))
TIE = GroupScore((0.0,) * 3, Vote(3, ("A", "B", None), (Cluster("A", (0,)), Cluster("B", (1,))), None, True))


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "groups" / "upt" / "000001.parquet"
    advantages = [torch.tensor([0.7071, -1.4142, 0.7071]), (0, 0, 0)]
    write_groups(path, [OPEN, CHOICE], [SCORE, TIE], advantages)
    first, second = read_groups(path)
    assert first == {
        "prompt_id": "p1",
        "visit": 2,
        "role": "answer",
        "policy_version": 7,
        "question": "<image><image>How many?",
        "choices": None,
        "images": [{"path": "a.png", "bytes": None}, {"path": None, "bytes": b"\x89PNG"}],
        "responses": ["so \\boxed{3}", "�?", "\\boxed{3.0}"],
        "answers": ["3", None, "3.0"],
        "stops": ["end"] * 3,
        "num_tokens": [1, 2, 3],
        "rewards": [1.0, 0.0, 1.0],
        "advantages": [float(a) for a in advantages[0]],
        "clusters": [{"answer": "3", "members": [0, 2]}],
        "majority": "3",
        "share": 2 / 3,
        "tie": False,
    }
    assert (second["choices"], second["images"], second["majority"], second["tie"]) == (["A", "B"], [], None, True)
    assert read_groups(path, ["tie", "share"]) == [{"share": 2 / 3, "tie": False}, {"share": 1 / 3, "tie": True}]
    assert [p.name for p in path.parent.iterdir()] == ["000001.parquet"]


def test_what_was_written_before_there_were_roles_is_read_as_answers(tmp_path: Path) -> None:
    write_groups(tmp_path / "new.parquet", [OPEN], [SCORE], [(0, 0, 0)])
    old = pq.read_table(tmp_path / "new.parquet").drop_columns(["role"])
    pq.write_table(old, tmp_path / "old.parquet")
    assert read_groups(tmp_path / "old.parquet") == read_groups(tmp_path / "new.parquet")
    assert read_groups(tmp_path / "old.parquet", ["role", "tie"]) == [{"tie": False, "role": "answer"}]
    assert read_groups(tmp_path / "old.parquet", ["tie"]) == [{"tie": False}]
    with pytest.raises(RunFolderError, match="no column rule"):
        read_groups(tmp_path / "old.parquet", ["rule", "role"])


def test_a_step_without_groups_is_a_file_without_rows(tmp_path: Path) -> None:
    write_groups(tmp_path / "x.parquet", [], [], [])
    assert read_groups(tmp_path / "x.parquet") == []


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"p1.*advantages': 2"):
        write_groups(tmp_path / "x.parquet", [OPEN], [SCORE], [(0.0, 0.0)])
    with pytest.raises(ValueError, match="zip"):
        write_groups(tmp_path / "x.parquet", [OPEN], [SCORE, TIE], [(0, 0, 0)])
    assert list(tmp_path.iterdir()) == []


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"x\.parquet: there are no groups"):
        read_groups(tmp_path / "x.parquet")
    write_groups(tmp_path / "x.parquet", [OPEN], [SCORE], [(0, 0, 0)])
    whole = (tmp_path / "x.parquet").read_bytes()
    (tmp_path / "x.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunFolderError, match=r"x\.parquet: not a readable"):
        read_groups(tmp_path / "x.parquet")

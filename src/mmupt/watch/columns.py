"""One file of groups as the browser's list needs it: short columns, and the text that a search looks through.

The list of ten thousand groups goes to the browser as a whole, so that filtering and sorting happen there at once. What
is long (responses, pictures) stays here until somebody opens a group.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmupt.answers.equivalence import canonical
from mmupt.errors import RunFolderError

QUESTION, NAME, ANSWER = 200, 100, 60  # characters of a question, of an id or role, of an answer in the list
CLUSTERS = 6  # cluster sizes that the list shows

_LISTED = ("prompt_id", "visit", "role", "question", "choices", "answers", "rewards", "clusters", "majority", "share",
           "tie")  # fmt: skip
_SEARCHED = ("prompt_id", "question", "choices", "answers", "responses")


@dataclass(frozen=True, slots=True)
class GroupColumns:
    """The n groups of one file. `columns` is what goes to the browser:

    id        prompt ids, the same id for the same prompt
    visit     how often the prompt had come up before
    role      "answer", or what else the group was sampled for
    question  indices into `questions`
    answer    the majority answer, null where nobody won
    key       what that answer says: equal keys, same answer; null where nobody won
    share     of the largest cluster, 0 to 1
    reward    the mean of the group
    size      G
    unread    answers that could not be read
    tie       0 or 1
    sizes     members of the largest clusters

    `texts` is what a search looks through, a casefolded text a group; `nbytes` their size in memory.
    """

    columns: dict[str, list[Any]]
    questions: list[str]
    texts: tuple[str, ...]
    nbytes: int

    @property
    def count(self) -> int:
        """n."""
        return len(self.columns["id"])


def read_columns(path: Path) -> GroupColumns:
    """Raises RunFolderError where the file is not there, damaged, or no file of groups."""
    rows = read_rows(path, (*_LISTED, "responses"))
    questions: dict[str, int] = {}
    columns: dict[str, list[Any]] = {
        name: []
        for name in ("id", "visit", "role", "question", "answer", "key", "share", "reward", "size", "unread", "tie",
                     "sizes")
    }  # fmt: skip
    for row in rows:
        rewards, answers = row["rewards"] or [0.0], row["answers"]
        values = {
            "id": short_name(row["prompt_id"]),
            "visit": row["visit"],
            "role": short_name(row["role"]),
            "question": questions.setdefault(_cut(row["question"], QUESTION), len(questions)),
            "answer": None if row["majority"] is None else _cut(row["majority"], ANSWER),
            "key": None if row["majority"] is None else answer_key(row["majority"], tuple(row["choices"] or ())),
            "share": round(row["share"], 4),
            "reward": round(sum(rewards) / len(rewards), 4),
            "size": len(answers),
            "unread": answers.count(None),
            "tie": int(row["tie"]),
            "sizes": [len(cluster["members"]) for cluster in row["clusters"][:CLUSTERS]],
        }
        for name, value in values.items():
            columns[name].append(value)
    texts = tuple(map(_searched, rows))
    return GroupColumns(columns, list(questions), texts, sum(map(sys.getsizeof, texts)))


def read_texts(path: Path) -> tuple[str, ...]:
    """The texts of `GroupColumns` alone; raises as `read_columns` does."""
    return tuple(map(_searched, read_rows(path, _SEARCHED)))


def read_rows(path: Path, columns: Sequence[str] | None = None, row: int | None = None) -> list[dict[str, Any]]:
    """The rows of a file of groups, or one of them, whatever stands in them: bytes that are no UTF-8 become U+FFFD.

    Raises RunFolderError where the file is not there, damaged, or lacks a column; IndexError for a row that it has not.
    """
    try:
        with pq.ParquetFile(path) as file:
            there = set(file.schema_arrow.names)
            wanted = list(columns if columns is not None else file.schema_arrow.names)
            if lacking := [name for name in wanted if name not in there and name != "role"]:
                raise RunFolderError(f"{path}: has no column {lacking[0]}; it is no file of groups that can be shown")
            table = file.read([name for name in wanted if name in there], use_threads=False)
    except FileNotFoundError:
        raise RunFolderError(f"{path}: is not there (any more)") from None
    except (pa.ArrowException, OSError) as error:
        raise RunFolderError(f"{path}: not a readable Parquet file ({error}); it is damaged") from error
    if row is not None:
        if not 0 <= row < table.num_rows:
            raise IndexError(row)
        table = table.slice(row, 1)
    try:
        rows = table.to_pylist()
    except UnicodeDecodeError:
        rows = [_decoded(line) for line in table.cast(_as_bytes(table.schema)).to_pylist()]
    return [{"role": "answer", **line} for line in rows]


def short_name(name: str) -> str:
    """An id that fits into a list; two long ones that differ stay different."""
    return name if len(name) <= NAME else f"{name[: NAME - 20]}…{hashlib.sha256(name.encode()).hexdigest()[:12]}"


@lru_cache(maxsize=50_000)
def answer_key(answer: str, choices: tuple[str, ...]) -> str:
    """Equal for answers that say the same, as `answers.equivalence.same` has it."""
    return hashlib.sha256(repr(canonical(answer, choices=choices or None)).encode()).hexdigest()[:12]


def _searched(row: dict[str, Any]) -> str:
    # What no query can hold stands between the parts, so that nothing is found across them.
    parts = [row["prompt_id"], row["question"], *(row["choices"] or ()), *(a for a in row["answers"] if a is not None)]
    return "\x00".join([*parts, *row["responses"]]).casefold()


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _as_bytes(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(field.name, _bytes_type(field.type)) for field in schema])


def _bytes_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string(kind):
        return pa.binary()
    if pa.types.is_list(kind):
        return pa.list_(_bytes_type(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(kind[i].name, _bytes_type(kind[i].type)) for i in range(kind.num_fields)])
    return kind


def _decoded(value: Any, name: str = "") -> Any:
    if isinstance(value, bytes) and name != "bytes":  # the one column of bytes: a picture
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, dict):
        return {key: _decoded(item, key) for key, item in value.items()}
    return value

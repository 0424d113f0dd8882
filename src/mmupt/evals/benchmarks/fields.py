"""What the conversions share: reading the fields of a source row, and option lists that are written as text.

Everything here raises `RowProblem` with the source's column for what it cannot read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from mmupt.data.columns import LETTERS, RowProblem, read_text, shown
from mmupt.evals.benchmarks.base import SourceRow

_MARK = r"{letter}\s*[.:．：、]"


def optional_text(row: SourceRow, column: str) -> str | None:
    """The text of a field without outer white space, None where it is absent or empty."""
    return (read_text(row.get(column), column) or "").strip() or None


def text(row: SourceRow, column: str) -> str:
    """The text of a field that must be there."""
    value = optional_text(row, column)
    if value is None:
        raise RowProblem(column, "is missing or empty; the benchmark cannot be asked without it")
    return value


def texts(row: SourceRow, column: str) -> tuple[str, ...]:
    """A list of texts; nothing where the field is absent."""
    value = row.get(column)
    if value is None:
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise RowProblem(column, f"holds {shown(value)}; a list of texts belongs here")
    return tuple(read_text(item, column) or "" for item in value)


def items(row: SourceRow, column: str, separator: str) -> tuple[str, ...]:
    """A list that some copies keep as one text with separators."""
    value = row.get(column)
    parts = value.split(separator) if isinstance(value, str) else texts(row, column)
    return tuple(part.strip() for part in parts if part.strip())


def mapping(row: SourceRow, column: str) -> Mapping[str, object]:
    """A struct; empty where the field is absent."""
    value = row.get(column)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RowProblem(column, f"holds {shown(value)}; a struct belongs here")
    return value


def known(row: SourceRow, *columns: str) -> dict[str, object]:
    """Those of the fields that hold something, for `meta`."""
    return {column: row[column] for column in columns if row.get(column) not in (None, "")}


def optional_picture(row: SourceRow, column: str) -> object | None:
    """A picture as the reader hands it out (path, bytes, struct{bytes, path}), None where there is none."""
    value = row.get(column)
    if isinstance(value, Mapping):
        return value if value.get("bytes") or value.get("path") else None
    return value or None


def picture(row: SourceRow, *columns: str) -> object:
    """The picture in the first of the columns that has one."""
    for column in columns:
        value = optional_picture(row, column)
        if value is not None:
            return value
    raise RowProblem(columns[0], "holds no picture; load the data set with its pictures")


def letters(count: int) -> tuple[str, ...]:
    """The choices of a question whose options stand in its picture or its text."""
    return tuple(LETTERS[:count])


def gold_letter(row: SourceRow, column: str, choices: Sequence[str]) -> str:
    """A gold answer that names its option by letter."""
    answer = text(row, column)
    if answer not in letters(len(choices)):
        raise RowProblem(column, f'is "{answer}", which names none of the {len(choices)} options; check the row')
    return answer


def letter_of(row: SourceRow, column: str, choices: Sequence[str]) -> str:
    """The letter of the option that the gold answer repeats. A letter cannot be misread where options are letters."""
    answer = text(row, column)
    stripped = [choice.strip() for choice in choices]
    if answer not in stripped:
        raise RowProblem(column, f'is "{answer}", which is none of the {len(choices)} options; check the row')
    return LETTERS[stripped.index(answer)]


def lettered_options(written: str) -> tuple[str, ...] | None:
    """The options of `A. 4;B. 5; C. 6` or of lines `A:4`, None where the text does not split beyond doubt.

    An option ends before a semicolon or line break that is followed by the next letter. Doubtful is a next letter
    behind anything else (`C. 6 D. 7`), a text that does not begin with A, and fewer than two options.
    """
    options: list[str] = []
    rest = written.strip()
    for here, following in pairwise(LETTERS):
        start = re.match(_MARK.format(letter=here), rest)
        if start is None:
            return None
        rest = rest[start.end() :]
        end = re.search(rf"[;；\n]\s*(?={_MARK.format(letter=following)})", rest)
        if end is None:
            if re.search(rf"(?<![A-Za-z]){_MARK.format(letter=following)}", rest):
                return None
            options.append(rest.strip(" ;；\n"))
            return tuple(options) if len(options) > 1 and all(options) else None
        options.append(rest[: end.start()].strip(" ;；\n"))
        rest = rest[end.end() :]
    return None


def count_letters(written: str) -> int:
    """How many options a text names: `A.`, then `B.` behind it, and so on."""
    start = 0
    for count, letter in enumerate(LETTERS):
        found = re.compile(rf"(?<![A-Za-z]){_MARK.format(letter=letter)}").search(written, start)
        if found is None:
            return count
        start = found.end()
    return len(LETTERS)

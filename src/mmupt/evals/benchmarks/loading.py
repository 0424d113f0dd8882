"""From `mathvision,wemath=data/wemath.jsonl` to labelled rows.

A file may hold the benchmark in the layout of its authors or in mmupt's own; each row shows which by its columns.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mmupt.data.columns import RowProblem
from mmupt.data.dataset import Conversion, DataSet, load_labeled
from mmupt.data.settings import DataSettings
from mmupt.errors import ConfigError
from mmupt.evals.benchmarks import BENCHMARKS
from mmupt.evals.benchmarks.base import Benchmark
from mmupt.types import LabeledPrompt

_HUB = "hub:"


@dataclass(frozen=True, slots=True)
class Selection:
    """A benchmark to measure on, with the place of its rows where that is not the benchmark's own."""

    benchmark: Benchmark
    path: str | None = None


def parse_selection(text: str) -> tuple[Selection, ...]:
    """The benchmarks of a list `NAME,NAME=PATH,...`, in its order.

    PATH is a `.jsonl` or `.parquet` file, a folder that holds the benchmark's split as one, or `hub:ORG/NAME`; it holds
    no comma. An empty list selects nothing. Raises `ConfigError` for unknown names, names that come twice, and a
    benchmark that needs a path and has none: all of them at once.
    """
    problems: list[str] = []
    selections: dict[str, Selection] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, equals, path = (part.strip() for part in entry.partition("="))
        benchmark = BENCHMARKS.get(name)
        if benchmark is None:
            problems.append(_unknown(name))
        elif name in selections:
            problems.append(f'benchmark "{name}" is named twice; name it once')
        elif equals and not path:
            problems.append(f'"{entry}" names no path behind the equals sign; write {name}=PATH, or {name} alone')
        elif not path and not benchmark.data.path.startswith(_HUB):
            problems.append(f"benchmark {name} has no copy with pictures on the hub; write {name}=PATH of a local one")
        else:
            selections[name] = Selection(benchmark, path or None)
    if problems:
        raise ConfigError(problems)
    return tuple(selections.values())


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), BENCHMARKS, n=3)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return f'there is no benchmark "{name}"; {meant}known are {", ".join(BENCHMARKS)}'


def load_benchmark(
    selection: Selection, *, limit: int | None = None, bad_rows: Literal["stop", "skip"] | None = None
) -> DataSet[LabeledPrompt]:
    """The rows of a benchmark, the first `limit` of the source.

    `bad_rows` is the benchmark's own where it is None: those whose published copies are known to hold questions that
    cannot be asked leave them out and count them, all others stop.

    Raises `DataError` as `load_labeled` does; bad rows are told by the columns of the layout they are in.
    """
    benchmark = selection.benchmark
    own = benchmark.data
    path = selection.path or own.path
    settings = DataSettings(
        path=path,
        split=own.split,
        subset=own.subset if path.startswith(_HUB) else None,
        revision=own.revision if path == own.path else None,
        placeholders="prepend",
        limit=limit,
        bad_rows=own.bad_rows if bad_rows is None else bad_rows,
    )
    columns = benchmark.source_columns | benchmark.optional_columns

    def convert(values: Mapping[str, object]) -> Mapping[str, object]:
        missing = benchmark.source_columns - values.keys()
        if not missing:
            return benchmark.convert(values)
        if "question" in values:
            return values
        raise RowProblem(
            "question",
            f"is absent, and the row is not in {benchmark.title}'s own layout either, "
            f"which has {', '.join(sorted(missing))} too; check the path {path}",
        )

    return load_labeled(settings, conversion=Conversion(columns, convert))

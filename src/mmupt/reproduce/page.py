"""`docs/results.md`: the miniatures beside the paper, from what is kept. Only what stands between the markers is
written; the words around them are people's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mmupt.errors import DataError
from mmupt.reproduce import paper
from mmupt.reproduce.claims import ORDERINGS, TRENDS, WINDOW, Ordering, Trend
from mmupt.reproduce.figures import Difference, difference, over_seeds
from mmupt.reproduce.kept import Figure, Kept
from mmupt.reproduce.runs import RUNS, Case
from mmupt.reproduce.tables import TABLES, Row, Table
from mmupt.runtime.files import write_text

BEGIN, END = "<!-- reproduce:begin -->", "<!-- reproduce:end -->"
MISSING = "not measured yet"
ENDED = "left out, the guard had ended it"
PICTURE = "figures/reproduce.png"
"""Where figure 2 lies, seen from the page."""

_NAMES: dict[Figure, str] = {"mean": "mean@10", "greedy": "greedy", "pass": "pass@10"}
_NEW = """# Results

The paper's tables (MM-UPT, arXiv 2505.22453) in the offline world, made by `mmupt reproduce`.

"""


def write_page(file: Path, lines: Sequence[str]) -> None:
    """Puts the lines between the markers of `file`, which is made where there is none. Raises DataError where it has no
    markers."""
    text = file.read_text(encoding="utf-8") if file.exists() else f"{_NEW}{BEGIN}\n{END}\n"
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise DataError(f"{file}: has no lines {BEGIN} and {END} to write between; add them, or choose another --out")
    write_text(file, "\n".join([head + BEGIN, *lines, END]) + tail)


def page(kept: Kept, *, drawn: bool) -> list[str]:
    """Every table, ordering and failed run, measured or not. `drawn`: whether figure 2 lies at `PICTURE`."""
    lines = [*_made(kept), ""]
    for table in TABLES.values():
        lines += [*_table(kept, table), ""]
    for part in (_text_table(), _written(kept), _figure(kept, drawn), _orderings(kept)):
        lines += [*part, ""]
    lines += [*_failed(kept), *_guards(kept)]
    return lines


def _made(kept: Kept) -> Iterator[str]:
    made = [case for case in kept.cases() if kept.scores(case.run.name, case.seed)]
    results = [result for case in made if (result := kept.result(case)) is not None]
    if not results:
        yield f"**{MISSING.capitalize()}.** `mmupt reproduce` fills this page."
        return
    seconds = sum(result.seconds for result in results)
    versions = sorted({f"{name} {version}" for r in results for name, version in (r.versions or {}).items() if version})
    absent = [name for name in RUNS if not kept.seeds(name)]
    yield (
        f"{len(made)} runs, {seconds / 3600:.1f} hours of one thread in all; {', '.join(versions)}."
        + (f" {MISSING.capitalize()}: {', '.join(absent)}." if absent else "")
    )


def _table(kept: Kept, table: Table) -> Iterator[str]:
    main = _NAMES[table.figures[0]]
    columns = ["", *(_NAMES[figure] for figure in table.figures), f"change of {main} (95 %)", "seeds"]
    columns += [f"paper: {column.removeprefix('paper, ')}" for column in table.paper_columns]
    yield from (f"## {table.title}", "", table.text, "")
    yield _line(columns)
    yield "|" + "---|" * len(columns)
    for row in table.rows:
        yield _line([row.label, *_cells(kept, table, row), *row.paper])


def _cells(kept: Kept, table: Table, row: Row) -> list[str]:
    found = over_seeds(kept, row.run, table.figures[0])
    if found is None:
        run, _, stage = row.run.partition(":")
        why = ENDED if stage and kept.seeds(run) else MISSING
        return [why, *[""] * (len(table.figures) + 1)]
    shown = [over_seeds(kept, row.run, figure) for figure in table.figures]
    values = ["" if s is None else _spread(s.value, s.low, s.high, s.seeds) for s in shown]
    change = None if row.against is None else difference(kept, row.run, row.against, table.figures[0])
    return [*values, _points(change), str(found.seeds)]


def _text_table() -> Iterator[str]:
    yield from ("## Table 7: text alone", "")
    told = "; ".join(f"{name} {change.before:g} to {change.after:g}" for name, change in paper.TEXT.items())
    yield f"There is no miniature: every question of the offline world is about a picture. The paper: {told}."


def _written(kept: Kept) -> Iterator[str]:
    yield from (
        "## The written questions",
        "",
        "What the world's own checker says of them: valid is a question that it understands and that has exactly one "
        "answer in its picture. The runs know nothing of this. Right is the majority answer of the model that wrote "
        "the question.",
        "",
        _line(["run, stage", "written", "of them valid", "kept", "of them valid", "majority right, of the valid kept"]),
        "|" + "---|" * 6,
    )
    results = [(case, result) for case in kept.cases() if (result := kept.result(case)) is not None]
    told = [(case, stage, found) for case, result in results for stage, found in result.asked.items()]
    if not told:
        yield _line([MISSING, *[""] * 5])
    for case, stage, found in told:
        valid, kept_valid = _percent(found.valid, found.written), _percent(found.kept_valid, found.kept)
        right = _percent(found.majority_right, found.kept_valid)
        yield _line([f"`{case.key}`, {stage}", str(found.written), valid, str(found.kept), kept_valid, right])


def _figure(kept: Kept, drawn: bool) -> Iterator[str]:
    yield from ("## Figure 2: while it learns", "")
    if not drawn:
        yield MISSING.capitalize() + "."
        return
    yield f"![majority reward, semantic entropy, accuracy and effective rank by step]({PICTURE})"


def _orderings(kept: Kept) -> Iterator[str]:
    yield from (
        "## Orderings",
        "",
        'Held: the 95 % interval of the mean over seeds, paired by question, lies above 0 (for "at or above" and "no '
        'harm": not below it); not held: it lies below; not shown: neither. The rule and the list were fixed before '
        "anything was measured, but for what is marked. Greedy is shown beside because it is nearest to the paper's "
        "temperature of 0.2.",
        "",
        _line(["", "verdict", "difference (95 %)", "by seed", "greedy", "paper"]),
        "|" + "---|" * 6,
    )
    for ordering in ORDERINGS:
        yield _line([ordering.text, *_judged(kept, ordering), ordering.paper])
    for trend in TRENDS:
        yield _line([trend.text, *_followed(kept, trend), trend.paper])


def _judged(kept: Kept, ordering: Ordering) -> list[str]:
    found = ordering.judged(kept)
    if found is None:
        return [MISSING, "", "", ""]
    by_seed = ", ".join(f"{100 * value:+.1f}" for value in found.by_seed.values())
    greedy = "" if ordering.figure == "pass" else _points(ordering.judged(kept, "greedy"))
    name = "" if ordering.figure == "mean" else f" {_NAMES[ordering.figure]}"
    return [_verdict(ordering.verdict(found)), _points(found) + name, by_seed, greedy]


def _followed(kept: Kept, trend: Trend) -> list[str]:
    changes = trend.changes(kept)
    if not changes:
        return [MISSING, "", "", ""]
    mean = sum(changes.values()) / len(changes)
    by_seed = ", ".join(f"{value:+.2f}" for value in changes.values())
    return [_verdict(trend.verdict(changes)), f"{mean:+.2f}, last {WINDOW} steps against the first", by_seed, ""]


def _verdict(verdict: str) -> str:
    return f"**{verdict}**" if verdict == "not held" else verdict


def _failed(kept: Kept) -> Iterator[str]:
    found = [(case, result) for case in kept.cases() if (result := kept.result(case)) is not None and result.failed]
    yield from ("## Failed runs", "")
    if not found:
        yield "None." if kept.cases() else MISSING.capitalize() + "."
    for case, result in found:
        yield f"- `{case.key}`: {' '.join(str(result.failed).split())[:400]}"


def _guards(kept: Kept) -> Iterator[str]:
    told = [(case, r.guard) for case in kept.cases() if (r := kept.result(case)) is not None and r.guard]
    if told:
        yield from ("", "## What the guards did", "")
    for case, story in told:
        yield f"- `{case.key}`{_watching(case)}: {story}"


def _watching(case: Case) -> str:
    return " (only watches)" if case.run.recipe == "mini/upt" else ""


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def _spread(value: float, low: float, high: float, seeds: int) -> str:
    return f"{100 * value:.1f}" + (f" ({100 * low:.1f} to {100 * high:.1f})" if seeds > 1 else "")


def _points(found: Difference | None) -> str:
    if found is None:
        return ""
    return f"{100 * found.value:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"

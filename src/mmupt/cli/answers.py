"""The commands that judge responses which any engine has sampled: `mmupt grade` and `mmupt vote`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, get_args

import typer

from mmupt.errors import ConfigError

if TYPE_CHECKING:
    from mmupt.answers.settings import AnswerSettings
    from mmupt.data.rows import RawRow
    from mmupt.offline.grade import NoAnswer
    from mmupt.offline.output import Record
    from mmupt.offline.rows import ResponseRow, ResponseRows

File = Annotated[str, typer.Argument(metavar="FILE", help="A .jsonl or .parquet file, or - for standard input.")]
Extract = Annotated[
    str, typer.Option("--extract", metavar="lenient|boxed|tag:NAME", help="How an answer is read from a response.")
]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write one JSON object a row, in input order.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file that --out names.")]
BadRowsOption = Annotated[
    str, typer.Option("--bad-rows", metavar="stop|skip", help="Stop at bad rows, or leave them out and count them.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the figures as one JSON object and nothing else.")]

Choice = TypeVar("Choice")
_EXCERPT = 100  # characters of the end of a response, where its answer would be


def grade(
    file: File,
    extract: Extract = "lenient",
    out: Out = None,
    overwrite: Overwrite = False,
    bad_rows: BadRowsOption = "stop",
    as_json: Json = False,
) -> None:
    """Grade responses against gold answers.

    Rows hold `response` or `responses`, `answer`, and where known `choices`, `unit`, `precision` and `id`. Accuracy is
    the mean over rows of the share of a row's responses that are correct.
    """
    from mmupt.offline.grade import GradeSummary, grade_rows
    from mmupt.offline.rows import read_labeled_row

    settings = _answers(extract)
    summary = GradeSummary()
    _judge(file, read_labeled_row, lambda rows: grade_rows(rows, settings, summary), out, overwrite, bad_rows)
    figures = summary.figures()
    if as_json:
        _print_json(figures)
        return
    shown = {
        "rows": str(summary.n),
        "responses": str(summary.num_responses),
        "accuracy": _percent(figures["accuracy"]),
        "no answer": str(summary.no_answer),
    }
    _print_table(shown)
    _print_examples(summary.examples)
    if out is not None:
        typer.echo(f"written: {out}")


def vote(
    file: File,
    extract: Extract = "lenient",
    ties: Annotated[
        str, typer.Option("--ties", metavar="none|first|random", help="Who wins among equally large clusters.")
    ] = "none",
    quorum: Annotated[
        float, typer.Option("--quorum", help="Nobody wins where a smaller share of the group could be read.")
    ] = 0.0,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="Numbers this close, relative to the larger, are the same.")
    ] = 0.0,
    seed: Annotated[int, typer.Option("--seed", help="For --ties random.")] = 0,
    out: Out = None,
    overwrite: Overwrite = False,
    bad_rows: BadRowsOption = "stop",
    as_json: Json = False,
) -> None:
    """Put groups of responses to the vote.

    Rows hold `responses`, and where known `answer`, `choices`, `unit`, `precision` and `id`. Accuracies are means over
    the groups with an answer; a tie without a winner counts by the share of tied clusters that are right.
    """
    from mmupt.answers.vote import Ties
    from mmupt.offline.rows import read_group_row
    from mmupt.offline.vote import VoteSummary, vote_rows

    settings = _answers(extract, tolerance)
    policy = one_of("--ties", ties, get_args(Ties))
    if not 0 <= quorum <= 1:
        raise ConfigError(f"--quorum {quorum}: a share of the group is meant; give a number from 0 to 1")
    summary = VoteSummary()
    _judge(
        file,
        read_group_row,
        lambda rows: vote_rows(rows, settings, summary, ties=policy, quorum=quorum, seed=seed),
        out,
        overwrite,
        bad_rows,
    )
    figures = summary.figures()
    if as_json:
        _print_json(figures)
        return
    shown = {
        "groups": str(summary.groups),
        "labeled groups": str(summary.labeled),
        "mean accuracy": _percent(figures["mean_accuracy"]),
        "majority accuracy": _percent(figures["majority_accuracy"]),
        "pass@k": _percent(figures["pass_at_k"]),
        "ties": str(summary.ties),
        "groups without an answer": str(summary.no_answer_groups),
    }
    _print_table(shown)
    if out is not None:
        typer.echo(f"written: {out}")


def _judge(
    file: str,
    read: Callable[[RawRow, str], ResponseRow],
    judge: Callable[[ResponseRows], Iterator[Record]],
    out: Path | None,
    overwrite: bool,
    bad_rows: str,
) -> None:
    """Reads, judges and writes row by row, so that memory never holds the whole file."""
    from mmupt.offline.output import check_out, write_records
    from mmupt.offline.rows import BadRows, ResponseRows, open_source

    rows = ResponseRows(open_source(file), read, one_of("--bad-rows", bad_rows, get_args(BadRows)))
    if out is not None:
        check_out(out, file=file, overwrite=overwrite)
    write_records(judge(rows), out)
    if rows.num_bad:
        count = f"{rows.num_bad} bad row" + ("s" if rows.num_bad > 1 else "")
        print(f"left out {count}, the first: {rows.bad[0].where}: {rows.bad[0].reason}", file=sys.stderr, flush=True)


def _answers(extract: str, tolerance: float = 0.0) -> AnswerSettings:
    from pydantic import ValidationError

    from mmupt.answers.settings import AnswerSettings

    try:
        return AnswerSettings(extract=extract, tolerance=tolerance)
    except ValidationError as error:
        advice = {
            "extract": f'--extract "{extract}": '
            'use "lenient", "boxed" or "tag:NAME" with a NAME of letters, digits, _ and -',
            "tolerance": f"--tolerance {tolerance}: give a number from 0 to below 1",
        }
        raise ConfigError([advice[str(fault["loc"][0])] for fault in error.errors()]) from None


def one_of(option: str, value: str, known: tuple[Choice, ...]) -> Choice:
    """The choice that `value` names. ConfigError says what there is."""
    for choice in known:
        if value == choice:
            return choice
    raise ConfigError(f'{option} "{value}": use {", ".join(map(str, known[:-1]))} or {known[-1]}')


def _percent(value: object) -> str:
    return f"{100 * value:.2f} %" if isinstance(value, float) else "not labeled"


def _print_json(figures: Mapping[str, object]) -> None:
    from mmupt.runtime.files import to_json

    typer.echo(to_json(figures))


def _print_table(figures: Mapping[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in figures.items():
        table.add_row(name, value)
    Console().print(table)


def _print_examples(examples: list[NoAnswer]) -> None:
    """As text, never as markup or control codes: ids and responses are foreign."""
    from mmupt.answers.text import printable

    if not examples:
        return
    typer.echo("\nresponses without an answer, the first of them:")
    for example in examples:
        typer.echo(f"  {printable(example.id)} (response {example.index + 1}): {example.reason}")
        if end := " ".join(printable(example.response[-_EXCERPT:]).split()):
            typer.echo(f"    {'...' if len(example.response) > _EXCERPT else ''}{end}")

"""Rows that cannot be used, too few of them, and rows that are there twice."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator

from mmupt.doctor.case import Case, Source
from mmupt.doctor.finding import Finding, count, listed
from mmupt.types import ImageSource, PreferencePair, Prompt

_BAD_SHOWN = 3


def rows(case: Case) -> Iterator[Finding]:
    """One source after another."""
    for source in case.sources:
        if source.problem is not None:
            yield Finding("rows", "error", f"{source.place}: {source.problem}")
            continue
        yield Finding("rows", "ok", f"{source.place}: {count(len(source.rows), 'row')} of {source.name}")
        yield from _bad(source)
        fewest, key = source.fewest
        if len(source.rows) < fewest:
            yield Finding(
                "rows", "error", f"{source.place}: {key} is {fewest}, but only {len(source.rows)} rows can be used",
                "lower it or bring more rows",
            )  # fmt: skip
        if not source.drawn:
            yield from _twice(source)


def _bad(source: Source) -> Iterator[Finding]:
    if not source.bad:
        return
    first = "; ".join(f"{row.where}: {row.reason}" for row in source.bad[:_BAD_SHOWN])
    more = f" (and {len(source.bad) - _BAD_SHOWN} more)" if len(source.bad) > _BAD_SHOWN else ""
    yield Finding(
        "rows",
        "error" if source.stops else "warning",
        f"{source.place}: {count(len(source.bad), 'row')} cannot be used: {first}{more}",
        'mend them, or set data.bad_rows = "skip" to leave them out' if source.stops else None,
        tuple(row.where for row in source.bad),
    )


def _twice(source: Source) -> Iterator[Finding]:
    """The same words about the same pictures. Pairs of responses may share their question."""
    if any(isinstance(row, PreferencePair) for row in source.rows):
        return
    seen: dict[str, list[str]] = defaultdict(list)
    for prompt in source.prompts:
        seen[asked(prompt)].append(prompt.id)
    again = [ids for ids in seen.values() if len(ids) > 1]
    if again:
        extra = sum(len(ids) - 1 for ids in again)
        yield Finding(
            "rows",
            "warning",
            f"{source.place}: {count(extra, 'row')} of {source.name} ask what another asks, about the same picture "
            f"({listed([' = '.join(ids[:3]) for ids in again])})",
            "leave one of each; a question that comes twice counts twice",
            tuple(prompt_id for ids in again for prompt_id in ids),
        )


def asked(prompt: Prompt) -> str:
    """The same for the same question about the same pictures, whatever the rows call it. White space and case do not
    count; options do."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (" ".join(prompt.question.casefold().split()), *(prompt.choices or ())):
        digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
    for image in prompt.images:
        digest.update(_content(image))
    return digest.hexdigest()


def _content(image: ImageSource) -> bytes:
    if image.data is not None:
        return hashlib.blake2b(image.data, digest_size=16).digest()
    with open(image.path or "", "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()

"""What is trained on and measured on at once: the same picture, nearly the same, or the same question without one."""

from __future__ import annotations

from collections.abc import Iterator

from mmupt.doctor.case import Case, Source
from mmupt.doctor.finding import Finding, count, listed
from mmupt.doctor.fingerprints import Fingerprint, fingerprint, near
from mmupt.doctor.rows import asked
from mmupt.errors import DataError
from mmupt.types import ImageSource

MOST_PICTURES = 20_000
"""Of one source; of more, the first so many are compared, and that is said."""


def leaks(case: Case) -> Iterator[Finding]:
    """Every source that trains against every one that measures. The offline world's splits are disjoint as drawn."""
    training = [source for source in case.sources if not source.evaluates and not source.drawn and source.rows]
    measured = [source for source in case.sources if source.evaluates and not source.drawn and source.rows]
    kept: dict[ImageSource, Fingerprint | None] = {}
    for test in measured:
        for train in training:
            yield from _between(train, test, kept)


def _between(train: Source, test: Source, kept: dict[ImageSource, Fingerprint | None]) -> Iterator[Finding]:
    asked_before = {asked(prompt): prompt.id for prompt in train.prompts}
    same = [(asked_before[key], p.id) for p in test.prompts if (key := asked(p)) in asked_before]
    if same:
        yield _told(train, test, "warning", f"{count(len(same), 'question')} of it are trained on word for word", same)
    (trained, prints_a), (tested, prints_b) = _prints(train, kept), _prints(test, kept)
    exact: list[tuple[str, str]] = []
    close: list[tuple[str, str]] = []
    for i, j in near(prints_a, prints_b):
        pair = (trained[i], tested[j])
        (exact if prints_a[i].exact == prints_b[j].exact else close).append(pair)
    if exact:
        pictures = len({row for _, row in exact})
        yield _told(train, test, "warning", f"{count(pictures, 'row')} of it show a picture that is trained on", exact)
    if close:
        pictures = len({row for _, row in close})
        yield _told(
            train, test, "warning", f"{count(pictures, 'row')} of it show nearly a picture that is trained on", close
        )
    for source in (train, test):
        if sum(len(p.images) for p in source.prompts) > MOST_PICTURES:
            yield Finding("leaks", "warning", f"{source.place}: only the first {MOST_PICTURES} pictures were compared")
    if not (same or exact or close):
        yield Finding("leaks", "ok", f"{train.place} and {test.place} share no picture and no question")


def _prints(source: Source, kept: dict[ImageSource, Fingerprint | None]) -> tuple[list[str], list[Fingerprint]]:
    """For each picture of a source its row's id and its fingerprint; a picture of several rows is looked at once."""
    ids, prints = [], []
    pictures = [(prompt.id, image) for prompt in source.prompts for image in prompt.images]
    for prompt_id, image in pictures[:MOST_PICTURES]:
        if image not in kept:
            try:
                kept[image] = fingerprint(image)
            except DataError:  # told by `rows`
                kept[image] = None
        if (found := kept[image]) is not None:
            ids.append(prompt_id)
            prints.append(found)
    return ids, prints


def _told(train: Source, test: Source, level: str, what: str, pairs: list[tuple[str, str]]) -> Finding:
    shown = listed([f"{a} = {b}" for a, b in pairs])
    return Finding(
        "leaks",
        level,  # type: ignore[arg-type]
        f"{test.place} ({test.name}) and {train.place} ({train.name}): {what} ({shown})",
        f"take these rows out of {train.name}, or say so beside the figures",
        tuple(dict.fromkeys(row for pair in pairs for row in pair)),
    )

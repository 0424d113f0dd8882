"""What the page shows of groups: small records of text that is safe to put into HTML once escaped.

Model output is hostile. Escaping is the template's (Jinja2 does it everywhere); here text is cut to a length a page
bears and freed of what HTML cannot hold, and pictures are decoded and encoded anew.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmupt.data.columns import PLACEHOLDER
from mmupt.data.images import encode_png, open_image
from mmupt.errors import DataError
from mmupt.report.reading import RunData, Stage
from mmupt.runtime.files import well_formed
from mmupt.types import ImageSource

THUMBNAIL = 256  # pixels, the longer side
GROUPS_A_STEP = 3
_ROLES = {"view": "another view of a question", "verification": "an answer being checked"}
_LONG, _SHORT = 4000, 120  # characters of a question or response, of an answer or name
_NO_HTML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Picture:
    """A data URI, or the reason why there is none."""

    uri: str | None
    note: str


@dataclass(frozen=True, slots=True)
class Ballot:
    """One answer of a vote; the unreadable ones are a ballot without an answer, which never wins."""

    answer: str | None
    count: int
    share: float
    won: bool


@dataclass(frozen=True, slots=True)
class Response:
    text: str
    answer: str | None
    reward: str
    good: bool
    stop: str
    tokens: int


@dataclass(frozen=True, slots=True)
class GroupView:
    """`role` is empty where the rollouts answer the stage's question itself."""

    prompt_id: str
    role: str
    question: str
    choices: tuple[str, ...]
    pictures: tuple[Picture, ...]
    ballots: tuple[Ballot, ...]
    verdict: str
    responses: tuple[Response, ...]


def clean(text: object, limit: int = _SHORT) -> str:
    """`text` without control characters and lone surrogates, cut to `limit` characters with a word on what is cut."""
    whole = str(text)
    kept = _NO_HTML.sub("�", well_formed(whole[:limit]))
    return kept if len(whole) <= limit else f"{kept}… ({len(whole) - limit:,} more characters)"


def group_views(run: RunData, stage: Stage) -> list[tuple[str, list[GroupView]]]:
    """Groups of the first and of the last step: the most divided, the median and the most united vote of each, and one
    group of each other role that the reward had sampled."""
    steps = sorted({stage.group_steps[0], stage.group_steps[-1]}) if stage.group_steps else []
    shown = []
    for step in steps:
        by_role: dict[str, list[dict[str, Any]]] = {"answer": []}
        for row in sorted(run.groups(stage.name, step), key=lambda row: row["share"]):
            by_role.setdefault(row["role"], []).append(row)
        rows = by_role.pop("answer")
        chosen = [rows[index] for index in sorted({0, len(rows) // 2, len(rows) - 1})[:GROUPS_A_STEP] if rows]
        chosen += [others[len(others) // 2] for others in by_role.values()]
        if chosen:
            shown.append((f"Step {step}", [group_view(row, stage.kind) for row in chosen]))
    return shown


def picture(image: dict[str, Any]) -> Picture:
    """A thumbnail of at most 256 pixels, made anew so that nothing but pixels gets into the page."""
    source = ImageSource(path=image.get("path"), data=image.get("bytes"))
    try:
        pixels = open_image(source)
    except DataError as error:
        return Picture(None, clean(error, 300))
    pixels.thumbnail((THUMBNAIL, THUMBNAIL))
    return Picture("data:image/png;base64," + base64.b64encode(encode_png(pixels)).decode("ascii"), clean(source.label))


def group_view(row: dict[str, Any], kind: str) -> GroupView:
    """One row of a file of groups, of a stage of this kind."""
    size = len(row["responses"])
    ballots = [
        Ballot(clean(c["answer"]), len(c["members"]), len(c["members"]) / size, c["answer"] == row["majority"])
        for c in row["clusters"]
    ]
    unread = row["answers"].count(None)
    if unread:
        ballots.append(Ballot(None, unread, unread / size, False))
    return GroupView(
        prompt_id=clean(row["prompt_id"]),
        role="" if row["role"] == "answer" else _ROLES.get(row["role"], clean(row["role"])),
        question=clean(_asked(row["question"], len(row["images"])), _LONG),
        choices=tuple(clean(choice, 400) for choice in row["choices"] or ()),
        pictures=tuple(picture(image) for image in row["images"]),
        ballots=tuple(ballots),
        verdict=_verdict(row, kind),
        responses=tuple(_responses(row)),
    )


def _asked(question: str, pictures: int) -> str:
    """Without the placeholder where it says nothing: one picture, in front, and shown beside the question."""
    return question.removeprefix(PLACEHOLDER).lstrip() if pictures == 1 else question


def _verdict(row: dict[str, Any], kind: str) -> str:
    if kind == "rl" and row["role"] == "answer":
        return f"{_rewarded(row['rewards'])} of {len(row['rewards'])} right"
    if row["majority"] is None:
        vote = "tied, nobody wins" if row["tie"] else "no winner"
    else:
        vote = f"{row['share']:.0%} agree{', tie broken' if row['tie'] else ''}"
    if kind != "upt" or row["role"] != "answer" or {*row["rewards"]} - {0.0, 1.0}:
        return vote
    # The reward may follow another vote than the group's own: the start model's, for one.
    return f"{vote} · {_rewarded(row['rewards'])} of {len(row['rewards'])} rewarded"


def _rewarded(rewards: Sequence[float]) -> int:
    return sum(reward > 0 for reward in rewards)


def _responses(row: dict[str, Any]) -> list[Response]:
    columns = zip(row["responses"], row["answers"], row["rewards"], row["stops"], row["num_tokens"], strict=True)
    return [
        Response(clean(text, _LONG), None if answer is None else clean(answer), f"{reward:g}", reward > 0, stop, tokens)
        for text, answer, reward, stop, tokens in columns
    ]

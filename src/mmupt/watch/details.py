"""One group in full, and its pictures, as JSON and PNG for the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmupt.answers.extract import extract
from mmupt.data.images import encode_png, open_image
from mmupt.types import ImageSource
from mmupt.watch.columns import answer_key, read_rows, short_name

LONGEST = 20_000
"""Characters of a response or question that are sent unasked; all of it comes when the reader asks."""
PICTURE_SIZE = 768  # pixels, the longer side


def group_detail(path: Path, row: int, mode: str, *, whole: bool = False) -> dict[str, Any]:
    """Row `row` of a file of groups; `mode` is how its stage reads answers, for the places of answers in responses.

    A text is {"text": ..., "length": characters in all}. A response has also `span`, (start, end) of what says its
    answer in the UTF-16 units that browsers count in, or null; and `cluster`, an index into `clusters`, or null where
    the answer could not be read. Two clusters with the same `key` say the same, also in different groups.
    Raises RunFolderError as `read_rows` does, IndexError for a row that is not there.
    """
    (group,) = read_rows(path, row=row)
    cluster_of = {member: k for k, cluster in enumerate(group["clusters"]) for member in cluster["members"]}
    limit, choices = None if whole else LONGEST, tuple(group["choices"] or ())
    responses = []
    for i, text in enumerate(group["responses"]):
        answer = group["answers"][i]
        responses.append(
            _text(text, limit)
            | {
                "answer": None if answer is None else _text(answer, limit),
                "span": _span(text, answer, mode, group["choices"], limit),
                "cluster": cluster_of.get(i),
                "reward": group["rewards"][i],
                "advantage": group["advantages"][i],
                "tokens": group["num_tokens"][i],
                "stop": group["stops"][i],
            }
        )
    return {
        "id": short_name(group["prompt_id"]),
        "visit": group["visit"],
        "role": short_name(group["role"]),
        "policy_version": group["policy_version"],
        "question": _text(group["question"], limit),
        "choices": [_text(choice, limit) for choice in choices],
        "pictures": [_label(image) for image in group["images"]],
        "clusters": [
            {
                "answer": _text(c["answer"], limit),
                "key": answer_key(c["answer"], choices),
                "count": len(c["members"]),
                "won": c["answer"] == group["majority"],
            }
            for c in group["clusters"]
        ],
        "share": group["share"],
        "tie": group["tie"],
        "responses": responses,
    }


def group_picture(path: Path, row: int, number: int) -> bytes:
    """Picture `number` of a row as PNG of at most PICTURE_SIZE pixels a side: decoded and encoded anew, so that nothing
    but pixels gets to the browser, whatever the row names.

    Raises RunFolderError, IndexError, and DataError (with the reason) where the picture is missing or none.
    """
    (group,) = read_rows(path, ["images"], row)
    if not 0 <= number < len(group["images"]):
        raise IndexError(number)
    image = group["images"][number]
    pixels = open_image(ImageSource(path=image["path"], data=image["bytes"]))
    pixels.thumbnail((PICTURE_SIZE, PICTURE_SIZE))
    return encode_png(pixels, effort=1)


def answer_mode(settings: Mapping[str, Any]) -> str:
    """How a stage reads answers, by its table in recipe.toml."""
    answers = settings.get("answers")
    mode = answers.get("extract") if isinstance(answers, Mapping) else None
    return mode if isinstance(mode, str) and (mode in ("boxed", "lenient") or mode[:4] == "tag:" < mode) else "boxed"


def _text(text: str, limit: int | None) -> dict[str, Any]:
    return {"text": text if limit is None else text[:limit], "length": len(text)}


def _span(
    response: str, answer: str | None, mode: str, choices: list[str] | None, limit: int | None
) -> tuple[int, int] | None:
    """None also where another mode than the stage's would be needed to find the answer: a wrong mark is worse than
    none."""
    if answer is None:
        return None
    found = extract(response, mode, choices=choices)
    if found.answer != answer or found.span is None or (limit is not None and found.span[1] > limit):
        return None
    start, end = (len(response[:place].encode("utf-16-le", "surrogatepass")) // 2 for place in found.span)
    return start, end


def _label(image: Mapping[str, Any]) -> str:
    return ImageSource(path=image["path"], data=image["bytes"]).label[-300:]

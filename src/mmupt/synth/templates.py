"""Prompts that ask for a question: text with places for what is shown."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

DIRECT = (
    "Look closely at the picture and write one question about it.\n"
    "The question must\n"
    "- need the picture: nobody could answer it from its words alone;\n"
    "- take some thinking: reading values off, comparing, counting, calculating or deriving, not naming one thing;\n"
    "- have exactly one right answer, which is short (a number, a word, a name) and follows from the picture;\n"
    "- be clear by itself and true to the picture: nothing in it may be made up.\n"
    "Do not answer it and give no hints. Write the question alone, in the form\n"
    "Question: <your question>"
)
IN_CONTEXT = (
    "Here is a question about the picture, with its answer.\n"
    "Question: {question}\n"
    "Answer: {answer}\n\n"
    "Write one new question about the same picture. It must\n"
    "- ask for something else than the question above, not the same in other words or with other numbers;\n"
    "- need the picture: nobody could answer it from its words alone;\n"
    "- be about as hard, and have exactly one right answer, which is short and can be worked out from the picture;\n"
    "- be clear by itself, without the question above, and true to the picture: nothing in it may be made up.\n"
    "Do not answer it and give no hints. Write the question alone, in the form\n"
    "Question: <your question>"
)

_HOLE = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}|\{\s*([A-Za-z_]\w*)\s*\}")


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with `{name}` replaced by its value and `{{name}}` by `{name}`; a value is text, whatever it holds.
    Raises KeyError on a name without a value, which settings let none through with.

    >>> fill("{question} Use {{braces}} and \\\\boxed{}.", {"question": "Is {x} 1?"})
    'Is {x} 1? Use {braces} and \\\\boxed{}.'
    """
    return _HOLE.sub(lambda hole: "{" + hole[1] + "}" if hole[1] else values[hole[2]], template)


def faults(template: str, known: Sequence[str] | None = None, *, needed: str | None = None) -> list[str]:
    """What is wrong with the places of a template, each as the end of a sentence about it: names that are not `known`
    (None: any may stand there), and `needed` where it is not there."""
    names = [hole[2] for hole in _HOLE.finditer(template) if hole[2]]
    found = []
    for name in dict.fromkeys(names if known is not None else ()):
        if known is None or name in known:
            continue
        near = difflib.get_close_matches(name, known, n=1)
        there = f"; did you mean {{{near[0]}}}?" if near else "."
        places = ", ".join(f"{{{k}}}" for k in known) or "none"
        found.append(
            f"has the unknown placeholder {{{name}}}{there} Known: {places}; write {{{{{name}}}}} to mean the braces"
        )
    if known is not None and "<image>" in template:
        found.append("holds <image>; take it out, the pictures stand in front of the whole")
    if needed is not None and needed not in names:
        found.append(f"has no {{{needed}}}")
    return found

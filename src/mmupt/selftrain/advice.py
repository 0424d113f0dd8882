"""What to do where a stage finds nothing to learn from, by the most frequent reason."""

from __future__ import annotations

from collections.abc import Mapping


def advice(reason: str) -> str:
    """A sentence, also for a reason that nobody thought of."""
    return _ADVICE.get(reason, "Look at the responses, which are kept in the folder `parts` of the stage's data")


_SELDOM_RIGHT = "The model is hardly ever right on this data: train it first, or take easier questions"

_ADVICE: Mapping[str, str] = {
    "unreadable": "Most responses give no answer that can be read: check answers.extract, and that prompt.suffix asks "
    "for the answer where it is looked for",
    "cut off": "Most responses were cut off: raise rollout.max_new_tokens",
    "no majority": "Hardly any group agrees: lower rollout.temperature, raise rollout.group_size, or start from a "
    "model that is more often right",
    "majority too small": "Hardly any majority is that large: lower min_share",
    "not sure enough": 'The model seldom holds its answers right: lower threshold, or set verdict.by = "sampled" if it '
    "reasons before it says yes or no",
    "no verdict": "The model's verdicts cannot be read: check verdict.prompt",
    "fewer than two answers with a score": "The model's answers or its verdicts on them cannot be read: check "
    "answers.extract and verdict.prompt",
    "all score alike": "The judge does not tell the answers apart: raise rollout.temperature or verdict.samples, or "
    "lower margin",
    "wrong": _SELDOM_RIGHT,
    "no right answer": _SELDOM_RIGHT,
    "no wrong answer": "The model is hardly ever wrong on this data: raise rollout.temperature, or take harder "
    "questions",
    "no worked solution in the data": "The rows have no solution: set data.columns.solution, or make solutions first "
    'with a stage of kind "targets"',
    "both the same": "The two responses are the same text: raise rollout.temperature",
    "no picture": "This is about pictures, and the rows have none: set data.columns.images",
    "no description": "The model describes nothing: check describing.plain and describing.good",
    "too long": "Nearly all prompts are too long: raise prompt.max_tokens, or lower prompt.max_pixels",
    "too long with its description": "Descriptions make the prompts too long: raise prompt.max_tokens, or lower "
    "rollout.max_new_tokens",
}

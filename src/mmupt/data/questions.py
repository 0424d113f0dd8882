"""From a prompt to the messages of a chat template."""

from __future__ import annotations

from mmupt.data.columns import LETTERS, PLACEHOLDER
from mmupt.data.settings import PromptSettings
from mmupt.types import Prompt

Part = dict[str, str]


def render_question(prompt: Prompt, settings: PromptSettings) -> list[Part]:
    """The user's message as parts: pictures where their `<image>` stands, the text around them, choices, suffix.

    The k-th `{"type": "image"}` is `prompt.images[k]`. Choices follow the question when `settings.choices` is "list".

    >>> prompt = Prompt(id="1", question="<image>Which?", images=(), choices=("cat", "dog"))
    >>> render_question(prompt, PromptSettings(suffix=" Answer."))
    [{'type': 'image'}, {'type': 'text', 'text': 'Which?\\nChoices:\\n(A) cat\\n(B) dog Answer.'}]
    """
    first, *rest = prompt.question.split(PLACEHOLDER)
    tail = (_choices(prompt.choices) if prompt.choices and settings.choices == "list" else "") + settings.suffix
    parts: list[Part] = [{"type": "text", "text": first}]
    for text in rest:
        parts += [{"type": "image"}, {"type": "text", "text": text}]
    parts[-1]["text"] += tail
    return [part for part in parts if part["type"] == "image" or part["text"]]


def messages(prompt: Prompt, settings: PromptSettings) -> list[dict[str, object]]:
    """The conversation a chat template renders: the system message if there is one, and the question."""
    system: list[dict[str, object]] = []
    if settings.system is not None:
        system = [{"role": "system", "content": [{"type": "text", "text": settings.system}]}]
    return [*system, {"role": "user", "content": render_question(prompt, settings)}]


def _choices(choices: tuple[str, ...]) -> str:
    lines = (f"\n({letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=False))
    return "\nChoices:" + "".join(lines)

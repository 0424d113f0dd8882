"""What questions are written about: a picture (or several that stand together) with all that is asked about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmupt.data.columns import LETTERS, PLACEHOLDER
from mmupt.data.pictures import is_bare
from mmupt.synth.settings import SynthStage
from mmupt.synth.templates import faults, fill
from mmupt.types import ImageSource, Prompt


@dataclass(frozen=True, slots=True)
class Subject:
    """Pictures and the prompts about them, the first of which names the subject. A prompt that is pictures alone asks
    nothing."""

    prompts: tuple[Prompt, ...]

    @property
    def id(self) -> str:
        return self.prompts[0].id

    @property
    def images(self) -> tuple[ImageSource, ...]:
        return self.prompts[0].images

    @property
    def questions(self) -> tuple[Prompt, ...]:
        """The prompts that ask something."""
        return tuple(prompt for prompt in self.prompts if not is_bare(prompt))


@dataclass(frozen=True, slots=True)
class Ask:
    """A prompt that asks for a question, and whom it is about: `source` is the id of the prompt it shows (direct: of
    its subject), `given` the answer it shows."""

    source: str
    prompt: Prompt
    given: str | None = None


def subjects(prompts: Sequence[Prompt]) -> list[Subject]:
    """Prompts with the same pictures together, in the order in which the pictures first come up; a prompt without
    pictures is a subject by itself."""
    found: dict[object, list[Prompt]] = {}
    for prompt in prompts:
        found.setdefault(prompt.images or prompt.id, []).append(prompt)
    return [Subject(tuple(group)) for group in found.values()]


def asks(subject: Subject, stage: SynthStage, answers: Mapping[str, str]) -> list[Ask]:
    """The prompts for new questions: one about the subject in mode "direct", else one for each of its questions (where
    the template shows an answer, of those that have one in `answers`, by prompt id).

    >>> dice = Subject((Prompt("7", "<image>Add all dice.", (ImageSource(path="7.png"),)),))
    >>> stage = SynthStage.model_validate({"kind": "synth", "name": "s", "data": {"path": "x"}})
    >>> asks(dice, stage, {})[0].prompt.question.splitlines()[0]
    '<image>Look closely at the picture and write one question about it.'
    """
    pictures = PLACEHOLDER * len(subject.images)
    if stage.mode == "direct":
        text = fill(stage.template, {})
        return [Ask(subject.id, Prompt(f"{subject.id}#ask", pictures + text, subject.images))]
    found = []
    for prompt in subject.questions:
        given = answers.get(prompt.id) if stage.shows_answers else None
        if given is None and stage.shows_answers:
            continue
        text = fill(stage.template, _values(prompt, given, stage.template))
        found.append(Ask(prompt.id, Prompt(f"{prompt.id}#ask", pictures + text, subject.images), given))
    return found


def _values(prompt: Prompt, given: str | None, template: str) -> dict[str, str]:
    """Pictures stand in front of the whole, wherever the question has them: its words are shown without."""
    choices = "".join(f"\n({letter}) {text}" for letter, text in zip(LETTERS, prompt.choices or (), strict=False))
    apart = not faults(template, needed="choices")
    values = {
        "question": prompt.question.replace(PLACEHOLDER, " ").strip() + ("" if apart else choices),
        "choices": choices.strip(),
        "answer": given or "",
    }
    return {name: text.replace(PLACEHOLDER, " ") for name, text in values.items()}

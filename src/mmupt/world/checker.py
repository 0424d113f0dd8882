"""Grades questions that a model wrote about a picture: is it one, has it one answer there, and which."""

from __future__ import annotations

from dataclasses import dataclass

from mmupt.data.questions import render_question
from mmupt.data.settings import PromptSettings
from mmupt.errors import DataError
from mmupt.types import Prompt
from mmupt.world.kinds import KINDS
from mmupt.world.scenes import Question, Scene


@dataclass(frozen=True, slots=True)
class Understood:
    """A text that asks one of the world's questions about a picture.

    `valid` says whether it has exactly one answer there, and then `answer` is the true one, a letter where the question
    has choices; otherwise it is None. `question` is the question's kind, such as "sum_of_color", and `level` its level.
    """

    question: str
    level: int
    valid: bool
    answer: str | None


def understand(key: str, text: str, choices: tuple[str, ...] | None = None) -> Understood | None:
    """What a text asks about the picture of that key; None where it is no question of that picture's kind.

    The words must be the world's own; only case, spaces, a leading `<image>` and marks at the end may differ. A
    question with choices is understood with its `choices`, or with the choices listed in the text as a prompt lists
    them; without them it is understood and not valid, for no letter answers it. The skills' prompts ("Describe the
    picture.", ...) are no questions about a picture. Raises DataError where no picture has this key.

    >>> understand("dice:red3,blue5,red1,blue2", "how many red dice")
    Understood(question='count_red', level=2, valid=True, answer='2')
    >>> understand("dice:red3,red5,red1,red2", "Add the blue dice.")
    Understood(question='sum_of_color', level=3, valid=False, answer=None)
    >>> understand("dice:red3,blue5,red1,blue2", "How many green dice?") is None
    True
    """
    scene = scene_from_key(key)
    asked = _asked(scene, text, choices)
    if asked is None:
        return None
    question, can_be_answered = asked
    valid = can_be_answered and question.valid(scene)
    return Understood(question.kind, question.level, valid, question.solve(scene).answer if valid else None)


def scene_from_key(key: str) -> Scene:
    """The scene that has this `key()`. Raises DataError where no picture has it."""
    kind, _, contents = key.partition(":")
    if kind not in KINDS:
        raise DataError(
            f'"{key}" is not the key of a picture: it begins with none of {", ".join(KINDS)}; '
            'take keys from meta["key"] of a world row'
        )
    return KINDS[kind].scene.parse(contents)


def find_question(scene: Scene, text: str) -> Question | None:
    """The question that this text asks about the scene; None where it asks nothing that has exactly one answer there,
    as where choices are missing."""
    asked = _asked(scene, text, None)
    if asked is None:
        return None
    question, can_be_answered = asked
    return question if can_be_answered and question.valid(scene) else None


def answer_question(scene: Scene, question_text: str) -> str | None:
    """The true answer of any question the world understands, None for every other text.

    >>> answer_question(scene_from_key("dice:red3,blue5,red1,blue2"), "How many red dice?")
    '2'
    """
    question = find_question(scene, question_text)
    return None if question is None else question.solve(scene).answer


def _asked(scene: Scene, text: str, choices: tuple[str, ...] | None) -> tuple[Question, bool] | None:
    """The question, and whether all that it needs is told: choices, where it has some."""
    plain = _plain(text)
    listed = None if choices is None else tuple(map(_plain, choices))
    if (found := _QUESTIONS[scene.kind].get((plain, listed))) is not None:
        return found, True
    if choices is None and (open_question := _WITHOUT_CHOICES[scene.kind].get(plain)) is not None:
        return open_question, False
    return None


def _plain(text: str) -> str:
    return " ".join(text.strip().removeprefix("<image>").lower().split()).rstrip(" .?!")


def _with_choices(question: Question) -> str:
    """The text of a question with its choices listed, as a model sees it."""
    prompt = Prompt(id="", question=question.text, images=(), choices=question.choices)
    return "".join(part["text"] for part in render_question(prompt, PromptSettings(suffix="")))


def _by_text(questions: tuple[Question, ...]) -> dict[tuple[str, tuple[str, ...] | None], Question]:
    found: dict[tuple[str, tuple[str, ...] | None], Question] = {}
    for question in questions:
        choices = None if question.choices is None else tuple(map(_plain, question.choices))
        found[_plain(question.text), choices] = question
        found[_plain(_with_choices(question)), None] = question
    return found


_QUESTIONS = {name: _by_text(kind.questions) for name, kind in KINDS.items()}
_WITHOUT_CHOICES = {name: {_plain(q.text): q for q in kind.questions if q.choices} for name, kind in KINDS.items()}

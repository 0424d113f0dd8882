"""The true answer of any question the world understands, for questions that a model wrote itself."""

from __future__ import annotations

from mmupt.errors import DataError
from mmupt.world.kinds import KINDS
from mmupt.world.scenes import Question, Scene


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
    """The question that this text asks about the scene; None where it asks nothing that has exactly one answer there.

    Case, spaces and the final mark do not matter. Questions with choices are never found: their text does not tell
    in which order the choices stood.
    """
    question = _BY_TEXT[scene.kind].get(_plain(text))
    return question if question is not None and question.valid(scene) else None


def answer_question(scene: Scene, question_text: str) -> str | None:
    """The true answer of any question the world understands, None for every other text.

    >>> answer_question(scene_from_key("dice:red3,blue5,red1,blue2"), "How many red dice?")
    '2'
    """
    question = find_question(scene, question_text)
    return None if question is None else question.solve(scene).answer


def _plain(text: str) -> str:
    return " ".join(text.removeprefix("<image>").lower().split()).rstrip(" .?")


_BY_TEXT: dict[str, dict[str, Question]] = {
    name: {_plain(question.text): question for question in kind.questions if question.choices is None}
    for name, kind in KINDS.items()
}

"""What a model can do with a picture besides answering: ask, ask another question, describe, verify.

Later stages lean on these: questions that the model writes for itself, and answers that it checks for itself.
They put the prompts made here to the model, word for word as it learned them.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from mmupt.world.scenes import Question, Scene, Solved

SKILLS = ("ask", "ask_another", "describe", "verify")
LEVELS = {"ask": 1, "ask_another": 1, "describe": 2, "verify": 3}

ASK = "Ask a question about this picture."
DESCRIBE = "Describe the picture."


class SkillRow(NamedTuple):
    """A prompt's text, the true answer (for "ask" and "ask_another" one of many), and the target of training."""

    text: str
    answer: str
    solution: str


def ask_another_text(question: str) -> str:
    """The prompt that asks for another question than the given one."""
    return f"Ask another question than: {question}"


def verify_text(question: str, answer: str) -> str:
    """The prompt that asks whether a given answer to a question is right."""
    return f"Question: {question} Answer: {answer} Is this answer right, yes or no?"


def solve_verify(own: Solved, given: str) -> Solved:
    """Work the question out oneself, then compare: `3 5 1 2: largest 5; 5 6 differ` and "no"."""
    if own.answer == given:
        return Solved(f"{own.steps}; {own.answer} {given} agree", "yes")
    return Solved(f"{own.steps}; {own.answer} {given} differ", "no")


def wrong_answer(question: Question, scene: Scene, rng: Random) -> str:
    """An answer that a careless reader of this picture would give, never the true one.

    Misreadings pile up until the answer changes: one glance may not be enough, where the highest bar stands out.
    """
    truth = question.solve(scene).answer
    seen = scene
    while (answer := question.solve(seen).answer) == truth:
        seen = seen.misread(rng, 0.5)
    return answer


def skill_row(skill: str, scene: Scene, questions: list[Question], rng: Random, wrong_readings: float) -> SkillRow:
    """One row of a skill about a scene. `questions` (two or more, all valid there, without choices) are what may be
    asked; verify proposes the true answer and a wrong one equally often."""
    if skill == "ask":
        text = rng.choice(questions).text
        return SkillRow(ASK, text, text)
    if skill == "ask_another":
        old, new = rng.sample(questions, 2)
        return SkillRow(ask_another_text(old.text), new.text, new.text)
    if skill == "describe":
        return SkillRow(DESCRIBE, scene.describe(), scene.misread(rng, wrong_readings).describe())
    if skill == "verify":
        question = rng.choice(questions)
        truth = question.solve(scene).answer
        given = truth if rng.random() < 0.5 else wrong_answer(question, scene, rng)
        own = question.solve(scene.misread(rng, wrong_readings))
        answer = "yes" if given == truth else "no"
        return SkillRow(verify_text(question.text, given), answer, solve_verify(own, given).chain)
    raise ValueError(f'no skill is called "{skill}"; there are {", ".join(SKILLS)}')

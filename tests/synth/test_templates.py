from __future__ import annotations

import pytest

from mmupt.synth.templates import DIRECT, IN_CONTEXT, faults, fill


def test_filling() -> None:
    values = {"question": "Is {answer} 3?", "answer": "no"}
    assert fill("{question} { answer }", values) == "Is {answer} 3? no", "a value is text, whatever it holds"
    assert fill(r"Use {{question}} and \boxed{}, x^{2}.", values) == r"Use {question} and \boxed{}, x^{2}."
    with pytest.raises(KeyError):
        fill("{choices}", values)


def test_faults() -> None:
    known = ("question", "answer")
    assert faults(r"{question}: \boxed{} {{other}} x^{2}", known) == []
    (fault,) = faults("{quesiton} {quesiton}", known)
    assert fault == (
        "has the unknown placeholder {quesiton}; did you mean {question}? Known: {question}, {answer}; "
        "write {{quesiton}} to mean the braces"
    )
    assert faults("{x} {y}", known)[1].startswith("has the unknown placeholder {y}. Known:")
    assert "Known: none" in faults("{question}", ())[0]
    assert faults("a", needed="answer") == ["has no {answer}"] and faults("{{answer}}", needed="answer")
    assert "<image>" in faults("<image> a", ())[0]


def test_the_shipped_ones_are_whole() -> None:
    assert faults(DIRECT, ()) == []
    assert faults(IN_CONTEXT, ("question", "answer"), needed="answer") == []

"""What labels say of a probe, by hand."""

from __future__ import annotations

import pytest

from mmupt.answers.settings import AnswerSettings
from mmupt.answers.vote import vote
from mmupt.guard.probe.asking import Probed
from mmupt.guard.probe.evidence import evidence_of_vote
from mmupt.guard.probe.report import probe_report
from mmupt.guard.probe.truth import Known, known, truth
from mmupt.types import LabeledPrompt, Prompt

ANSWERS = AnswerSettings()


def probed(prompt_id: str, answers: list[str | None]) -> Probed:
    found = vote(answers)
    return Probed(Prompt(prompt_id, "?"), found, evidence_of_vote(prompt_id, found, seed=0))


def label(prompt_id: str, answer: str, unit: str | None = None) -> LabeledPrompt:
    return LabeledPrompt(Prompt(prompt_id, "?"), answer, unit)


def test_one_prompt() -> None:
    three = ["3", "3.0", "4", None]
    assert known(probed("p", three), label("p", "3"), ANSWERS) == Known(0.5, 1.0)
    assert known(probed("p", three), label("p", "4"), ANSWERS) == Known(0.25, 0.0)
    assert known(probed("p", ["3", "4", "3", "4"]), label("p", "4"), ANSWERS) == Known(0.5, 0.5)
    assert known(probed("p", ["3 km"] * 4), label("p", "3", "km"), ANSWERS) == Known(1.0, 1.0)
    assert known(probed("p", [None] * 4), label("p", "3"), ANSWERS) == Known(0.0, 0.0)


def test_all_of_them() -> None:
    asked = [
        probed("a", ["1"] * 4),
        probed("b", ["1", "1", "2", "2"]),
        probed("c", ["5"] * 3 + ["6"]),
        probed("d", ["1"] * 4),
    ]
    report = probe_report([p.evidence for p in asked])
    labels = {"a": label("a", "1"), "b": label("b", "2"), "c": label("c", "6")}  # d has none
    found = truth(report, asked, labels, ANSWERS)
    assert found is not None and found.prompts == 3
    assert found.sample == pytest.approx((1.0 + 0.5 + 0.25) / 3)
    assert found.vote == pytest.approx((1.0 + 0.5 + 0.0) / 3)
    assert found.room == pytest.approx(found.vote - found.sample)
    said = [float(p) for p in report.estimates.right_N[:3]]
    were = (1.0, 0.5, 0.0)
    assert found.brier == pytest.approx(sum((p - y) ** 2 for p, y in zip(said, were, strict=True)) / 3)
    assert found.brier_constant == pytest.approx((0.25 + 0.0 + 0.25) / 3)
    assert sum(b.prompts for b in found.reliability) == 3
    for b in found.reliability:
        inside = [k for k, p in enumerate(said) if b.low <= p < b.high]
        assert b.prompts == len(inside)
        if inside:
            assert b.said == pytest.approx(sum(said[k] for k in inside) / len(inside))
            assert b.were == pytest.approx(sum(were[k] for k in inside) / len(inside))
        else:
            assert b.said is b.were is None


def test_without_any_label() -> None:
    asked = [probed("a", ["1"] * 4)]
    assert truth(probe_report([p.evidence for p in asked]), asked, {}, ANSWERS) is None

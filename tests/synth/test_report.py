from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmupt.errors import RunFolderError
from mmupt.runtime.files import write_json
from mmupt.synth.candidates import Candidate, Written
from mmupt.synth.report import SynthReport
from mmupt.synth.settings import SynthStage
from mmupt.synth.subjects import Subject
from mmupt.types import Prompt


def candidate(index: int, **changes: Any) -> Candidate:
    return Candidate(f"p#{index}", "p", index, "?", "end", **changes)


@pytest.fixture
def report(make_stage: Callable[..., SynthStage]) -> SynthReport:
    subject, other, third = (Subject((Prompt(name, "<image>"),)) for name in "pqr")
    written = [
        Written(
            subject,
            (
                candidate(0, share=0.4),
                candidate(1, share=0.6),
                candidate(2, dropped="trivial", share=1.0),
                candidate(3, dropped="unparsable"),
                candidate(4, dropped="trivial"),
            ),
        ),
        Written(other, (), {"q": "too long"}),
        Written(third, (), {"r": "too long"}),
    ]
    return SynthReport.of(make_stage(), written, model="m", seed=3)


def test_counts(report: SynthReport) -> None:
    assert (report.subjects, report.asked, report.written, report.kept, report.with_questions) == (3, 1, 5, 2, 1)
    assert report.share == pytest.approx(0.5) and report.passed_over == {"too long": 2}
    assert report.reasons == [("trivial", 2), ("unparsable", 1)]
    assert report.in_words == ("2 of 5 written questions kept, about 1 of 3 pictures; dropped: 2 trivial, 1 unparsable")
    assert report.advice[0].startswith("2 trivial (the model's answers agree (share above the band)): ")
    assert report.metrics()["dropped/trivial"] == 2 and report.metrics()["passed_over"] == 2


def test_to_disk_and_back(report: SynthReport, tmp_path: Path) -> None:
    write_json(tmp_path / "report.json", report.as_json())
    assert SynthReport.read(tmp_path / "report.json") == report
    (tmp_path / "report.json").write_text('{"kept": 1}')
    with pytest.raises(RunFolderError, match="damaged"):
        SynthReport.read(tmp_path / "report.json")

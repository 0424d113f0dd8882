"""What is recommended, and that the report adds up."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from mmupt.guard.probe.advice import best_band
from mmupt.guard.probe.calibration import CALIBRATION, Logistic, Spread
from mmupt.guard.probe.estimate import estimate
from mmupt.guard.probe.evidence import Evidence
from mmupt.guard.probe.report import probe_report
from mmupt.runtime.files import to_json

MakeEvidence = Callable[..., list[Evidence]]

# A majority is right where about half of the samples or more agree. A calibration of the tests' own, so that they do
# not change when the one in use is fitted anew.
SIMPLE = replace(
    CALIBRATION,
    plain=Logistic(intercept=-6.0, share=12.0, margin=0.0, stability=0.0, mean_share=0.0),
    viewed=Logistic(intercept=-6.0, share=12.0, margin=0.0, stability=0.0, mean_share=0.0),
    lucky=0.25,
    closure=0.7,
    harm=0.05,
    spread=Spread(0.02, 0.02, 0.01),
)


def test_mostly_right_but_unsure_is_a_go(made_evidence: MakeEvidence) -> None:
    report = probe_report(made_evidence(200, 10, 14), SIMPLE)
    assert (report.advice.verdict, report.advice.setting, report.band) == ("go", None, None)
    assert 0.05 < report.estimates.gain.value < 0.3
    assert "one sample is estimated to be right on" in report.advice.reasons[0]


def test_mostly_wrong_is_a_dont(made_evidence: MakeEvidence) -> None:
    report = probe_report(made_evidence(200, 3, 5), SIMPLE)
    assert report.advice.verdict == "don't"
    assert "most majorities are estimated to be wrong" in " ".join(report.advice.reasons)


def test_where_wrong_labels_do_harm_a_mixture_is_a_go_with_a_band(made_evidence: MakeEvidence) -> None:
    evidence = made_evidence(100, 3, 5) + made_evidence(100, 10, 14, seed=1)
    harmful = replace(SIMPLE, harm=0.3)
    report = probe_report(evidence, harmful)
    assert report.advice.verdict == "go with a band"
    assert report.band is not None and 0.3 < report.band.least <= 0.65
    assert report.band.kept == pytest.approx(0.5, abs=0.1) and report.band.right > 0.75
    assert report.advice.setting == f"select.share=[{report.band.least:g},1.0]"
    gains = {cut: estimate(evidence, harmful, least_share=cut).gain.value for cut in (k / 20 for k in range(20))}
    assert report.band.gain.value == pytest.approx(max(gains.values()))
    assert report.band.gain.value > gains[0.0] + 0.005
    harmless = probe_report(evidence, replace(SIMPLE, harm=0.0, lucky=0.0))
    assert (harmless.advice.verdict, harmless.band) == ("go", None)


def test_the_setting_is_one_that_recipes_take() -> None:
    from mmupt.recipe import load_recipe

    recipe = load_recipe("demo", ["select.share=[0.45,1.0]"])
    assert recipe.stages[-1].select.share == (0.45, 1.0)  # type: ignore[union-attr]


def test_answers_that_cannot_be_read_come_first(made_evidence: MakeEvidence) -> None:
    silent = [
        replace(e, prompt_id=f"s{i}", share=0.0, margin=0.0, readable=0.0)
        for i, e in enumerate(made_evidence(120, 8, 9))
    ]
    report = probe_report([*made_evidence(80, 10, 14), *silent], SIMPLE)
    assert report.unreadable == pytest.approx(0.6)
    assert report.advice.verdict == "don't" and "60% of the answers cannot be read" in report.advice.reasons[0]


def test_where_all_agree_there_is_nothing_to_learn(made_evidence: MakeEvidence) -> None:
    report = probe_report(made_evidence(100, 16, 16), SIMPLE)
    assert (report.advice.verdict, report.unanimous, report.share) == ("don't", 1.0, 1.0)
    assert "there is little to learn" in report.advice.reasons[-1]


def test_a_gain_that_may_be_none_is_no_go(made_evidence: MakeEvidence) -> None:
    unsure = replace(SIMPLE, spread=Spread(0.02, 0.02, 0.5))
    report = probe_report(made_evidence(200, 10, 14), unsure)
    assert report.advice.verdict == "don't" and report.estimates.gain.value > 0.01
    assert "only (less than 80%)" in report.advice.reasons[-1]


def test_a_band_must_keep_enough(made_evidence: MakeEvidence) -> None:
    harmful = replace(SIMPLE, harm=0.3)
    evidence = made_evidence(195, 3, 4) + made_evidence(5, 14, 14)
    band = best_band(evidence, estimate(evidence, harmful), harmful)
    assert band is None or band.kept >= 0.1
    evidence += made_evidence(40, 12, 14, seed=2)
    band = best_band(evidence, estimate(evidence, harmful), harmful)
    assert band is not None and band.kept == pytest.approx(45 / 240)


def test_the_histogram_adds_up(made_evidence: MakeEvidence) -> None:
    evidence = made_evidence(60, 0, 16, view=0.5)
    evidence.append(Evidence("silent", 16, 0.0, 0.0, 0.0, 0.0, 0.0, decided=False, view=0.0, view_kept=False))
    evidence.append(Evidence("thirty", 10, 0.1 + 0.2, 0.1, 1.0, 1.0, 0.5, decided=True))
    report = probe_report(evidence, SIMPLE)
    assert sum(b.prompts for b in report.bins) == len(evidence)
    assert sum(b.gain for b in report.bins) == pytest.approx(report.estimates.gain.value)
    for b in report.bins:
        inside = [e for e in evidence if b.low + 1e-6 < e.share <= b.high + 1e-6 or (b.low == 0 and e.share == 0)]
        assert len(inside) == b.prompts, b
        assert (b.right is None) == (not inside)
    assert report.viewed == 61 and report.view == pytest.approx(60 * 0.5 / 61)
    assert report.view_kept == pytest.approx(60 / 61)
    assert 0 < report.unanimous < 0.5 and report.undecided > 0


def test_json_is_strict_and_complete(made_evidence: MakeEvidence) -> None:
    report = probe_report(made_evidence(10, 4, 14), SIMPLE)
    told = json.loads(to_json(report.as_json()))
    assert told["view"] == {"prompts": 0, "agreement": None, "majority_kept": None}
    assert told["gain"]["low"] < told["gain"]["value"] < told["gain"]["high"]
    assert len(told["prompts"]) == 10 and len(told["histogram"]) == 10
    assert sum(p["gain"] for p in told["prompts"]) / 10 == pytest.approx(told["gain"]["value"])


def test_no_prompts_no_report() -> None:
    with pytest.raises(ValueError, match="at least one"):
        probe_report([])

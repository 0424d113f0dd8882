"""Where the time goes: read from metrics as a run writes them, shown on the page, silent where nothing is known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmupt.report.profile import ADVICE, in_units, read_profile
from mmupt.report.report import write_report
from mmupt.runtime.metrics import MetricsLog
from mmupt.runtime.phases import OTHER, PHASES, Floor, PeakMemory, PhaseTotal, StepTimes, profile_fields


def record(seconds: float, decode: float, backward: float, **other: Any) -> dict[str, Any]:
    """A step as the loop writes it: 640 tokens decoded, a floor of 10 + 30 FLOPs at 20 FLOP/s."""
    times = StepTimes(
        seconds,
        {
            "prepare": PhaseTotal(0.01, 0, 1),
            "decode": PhaseTotal(decode, 640, 4),
            "backward": PhaseTotal(backward, 900, 4),
        },
    )
    floor = Floor(20.0, {"decode": 10, "backward": 30})
    fields = profile_fields(times, floor, PeakMemory(3 * 2**30, None))
    return {"stage": "upt", "kind": "upt", "step": 1, "tokens": 640, **fields, **other}


def test_means_over_steps() -> None:
    profile = read_profile([record(10, 6, 3), record(6, 4, 1)])
    assert profile is not None
    assert (profile.steps, profile.seconds, profile.tokens_per_second) == (2, 8, 80)
    costs = {cost.phase: cost for cost in profile.phases}
    assert list(costs) == ["prepare", "decode", "backward", OTHER]
    assert sum(cost.seconds for cost in profile.phases) == pytest.approx(profile.seconds)
    assert sum(cost.share for cost in profile.phases) == pytest.approx(1)
    assert (costs["decode"].seconds, costs["decode"].share, costs["decode"].tokens_per_second) == (5, 0.625, 128)
    assert costs["decode"].floor_fraction == pytest.approx((10 + 10) / 20 / (6 + 4))
    assert costs["prepare"].floor_fraction is costs["prepare"].tokens_per_second is None
    assert profile.floor_fraction == pytest.approx(2 * 40 / 20 / 16)
    assert (profile.peak_memory, profile.peak_cuda_memory) == (3 * 2**30, None)
    assert profile.largest_named == "decode 62 %, backward 25 %, other 12 %"


def test_costs_of_next_to_nothing_are_not_named() -> None:
    profile = read_profile([record(10.01, 10, 0.0)])
    assert profile is not None and profile.largest_named == "decode 100 %"


@pytest.mark.parametrize(
    "records", [[], [{"step": 1, "seconds": 2.0, "tokens_per_second": 7}], [{"seconds_decode": 1}]]
)
def test_steps_without_phases_have_no_profile(records: list[dict[str, Any]]) -> None:
    assert read_profile(records) is None


@pytest.mark.parametrize("damage", ["x", None, float("nan"), float("inf"), -1, [1], True])
def test_damaged_values_count_as_nothing(damage: object) -> None:
    good = record(10, 6, 3)
    profile = read_profile([good, {key: damage for key in good}])
    assert profile == read_profile([good])
    assert read_profile([good | {"matmul_ceiling": damage, "flops_decode": damage}]) is not None


def test_there_is_advice_for_every_phase() -> None:
    assert set(ADVICE) == {*PHASES, OTHER}


def test_units() -> None:
    assert [in_units(n, "B") for n in (17, 2**10, 1000 * 2**20, 3.4 * 2**30)] == [
        "17 B",
        "1 KiB",
        "1000 MiB",
        "3.4 GiB",
    ]
    assert [in_units(n, "FLOP/s") for n in (3.43e11, 9.1e14)] == ["343 GFLOP/s", "910 TFLOP/s"]


def test_the_page_shows_it(tmp_path: Path, fake: SimpleNamespace) -> None:
    run = fake.make_run(tmp_path / "dice")
    without = write_report(run.root).read_text()
    assert "Where the time goes" not in without and 'class="profile"' not in without
    hostile = "<script>alert(1)</script>"
    with MetricsLog(run.metrics) as log:
        log.append(record(10, 6, 3))
        log.append(record(10, 6, 3) | {"stage": hostile, "matmul_ceiling": hostile})
    html = write_report(run.root).read_text()
    section = html[html.index("Where the time goes") :]
    for expected in (
        "Largest costs: decode 60 %, backward 30 %, other 10 %.",
        "20 % of the FLOP floor",
        "would take 2 of 10 s at the 20 FLOP/s",
        "Peak memory 3 GiB.",
        "64 tokens a second",
        "<td>decode</td><td>6.000</td>",
        'style="width: 60.0%"></i></td><td>60.0 %</td><td>107</td><td>8.3 %</td>',
    ):
        assert expected in section, expected
    assert section.count('class="profile"') == 2
    assert hostile not in html and "&lt;script&gt;alert(1)" in section

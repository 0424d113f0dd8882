"""Curves: inline, in the page's colours, with nothing that could leak into the page."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest

from mmupt.report.curves import Mark, _draw, charts, measured_charts, running_mean
from mmupt.report.reading import Stage


def stage(**series: list[object]) -> Stage:
    length = max(map(len, series.values()))
    records = [
        {"step": i + 1, **{key: values[i] for key, values in series.items() if i < len(values)}} for i in range(length)
    ]
    return Stage("upt", "upt", records, {}, [], None)


@pytest.mark.parametrize("length", [2, 39, 40, 3000])
def test_a_curve_is_well_formed_and_follows_the_theme(length: int) -> None:
    (chart,) = charts(stage(loss=[math.sin(i / 9) for i in range(length)]))
    root = ET.fromstring(chart.svg)
    assert root.attrib.keys() == {"viewBox", "role"}
    assert "var(--accent)" in chart.svg
    assert "var(--muted)" in chart.svg
    assert not re.search(r"#0[0-9]0[0-9]0[0-9]|<style|<metadata|<script|sans-serif|xlink", chart.svg)
    assert len(chart.svg) < 60_000


def test_only_finite_numbers_are_drawn() -> None:
    found = charts(
        stage(loss=["nan", 1.0, math.inf, 2.0, None, "<b>"], kl=[1.0, "x"], share=[0.5, 0.5, 0.75], foo=[1, 2])
    )
    assert [(chart.title, chart.last) for chart in found] == [("majority share", "75.0 %"), ("loss", "2")]


def test_a_constant_has_a_scale() -> None:
    for value in (0.0, 1e-9, -5.0, 1e12):
        assert ET.fromstring(charts(stage(kl=[value] * 3))[0].svg) is not None


def test_where_the_guard_spoke_stands_in_every_curve() -> None:
    plain, marked = (charts(stage(loss=[1.0, 2.0, 3.0]), marks)[0].svg for marks in ([], [Mark(2, False)]))
    assert (plain.count("var(--watch)"), marked.count("var(--watch)")) == (0, 1)
    (grave,) = charts(stage(loss=[1.0, 2.0, 3.0]), [Mark(1, True), Mark(2, False), Mark(3, True)])
    assert (grave.svg.count("var(--bad)"), grave.svg.count("var(--watch)")) == (2, 1)
    assert ET.fromstring(grave.svg) is not None


def test_what_hardly_ever_moves_is_drawn_only_if_it_does() -> None:
    flat, moved = stage(lr_scale=[1.0] * 3, loss=[1.0] * 3), stage(lr_scale=[1.0, 0.5], loss=[1.0] * 2)
    assert [chart.title for chart in charts(flat)] == ["loss"]
    assert [chart.title for chart in charts(moved)] == ["loss", "part of the learning rate"]


def test_measurements_start_at_the_start() -> None:
    start = {"score": 0.5, "effective_rank": 40.0, "new_thing": 2.0, "only_once": 1.0, "bad": "nan"}
    measured: list[dict[str, object]] = [
        {"step": 10, "score": 0.75, "effective_rank": 30, "new_thing": 3, "bad": 1, "unknown_at_the_start": 1},
        {"step": 20, "score": None, "effective_rank": 20, "bad": 1, "unknown_at_the_start": 1},
    ]
    found = measured_charts(start, measured, best_step=10)
    assert [(chart.title, chart.last) for chart in found] == [
        ("label-free score", "50.0 → 75.0 %"), ("effective rank", "40 → 20"), ("new thing", "2 → 3")
    ]  # fmt: skip
    assert all("stroke-dasharray" in chart.svg for chart in found)  # the start, as a line
    assert measured_charts({}, measured, 0) == measured_charts(start, [], 0) == []


def test_the_running_mean() -> None:
    assert running_mean([0, 3, 6, 0], 1) == [1.5, 3, 3, 3]
    assert running_mean([1, 2], 0) == [1, 2]


def test_no_axis_needs_a_factor_and_no_share_is_negative() -> None:
    """matplotlib would write a common factor (1e-5) where the chart is cut off, and -2% below a line of zeros."""
    small = _draw([(1, 0.0), (2, 8e-5)], percent=False)
    assert re.search(r">\d[\d.]*e-05<", small)
    none = _draw([(1, 0.0), (2, 0.0)], percent=True)
    labels = re.findall(r">([^<>]*%)<", none)
    assert "0.0%" in labels and not any(label[0] in "-−" for label in labels)

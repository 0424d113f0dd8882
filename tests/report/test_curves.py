"""Curves: inline, in the page's colours, with nothing that could leak into the page."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest

from mmupt.report.curves import charts, running_mean
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


def test_the_running_mean() -> None:
    assert running_mean([0, 3, 6, 0], 1) == [1.5, 3, 3, 3]
    assert running_mean([1, 2], 0) == [1, 2]

"""The benchmarks mmupt knows by name. A new one is a file here and a line below. Imports no torch."""

from __future__ import annotations

from mmupt.evals.benchmarks import (
    chartqa,
    geometry3k,
    geoqa,
    hendrycks_math,
    iconqa,
    mathverse,
    mathvision,
    mathvista,
    omni_math,
    puzzlevqa,
    tabmwp,
    wemath,
)
from mmupt.evals.benchmarks.base import Benchmark

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        mathvision.BENCHMARK,
        mathvista.BENCHMARK,
        mathverse.BENCHMARK,
        wemath.BENCHMARK,
        chartqa.BENCHMARK,
        iconqa.BENCHMARK,
        tabmwp.BENCHMARK,
        geometry3k.BENCHMARK,
        geoqa.BENCHMARK,
        puzzlevqa.BENCHMARK,
        hendrycks_math.BENCHMARK,
        omni_math.BENCHMARK,
    )
}

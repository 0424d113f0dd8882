"""What MM-UPT's paper reports (arXiv 2505.22453v2), in per cent: Qwen2.5-VL-7B where nothing else is said, and the mean
of MathVision, MathVerse, MathVista and We-Math where one number stands for four."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TRAINING_SETS = ("Geometry3K", "GeoQA", "MMR1")

Accuracies = tuple[float, float, float, float, float]
"""MathVision, MathVerse, MathVista, We-Math, mean."""

START: Accuracies = (24.87, 43.83, 66.30, 62.87, 49.47)

TRAINED: Mapping[str, tuple[Accuracies, Accuracies, Accuracies]] = {
    "GRPO": (
        (28.32, 46.40, 69.30, 68.85, 53.22),
        (26.15, 46.28, 67.50, 66.65, 51.65),
        (29.01, 45.03, 71.40, 67.24, 53.17),
    ),
    "SFT": (
        (25.92, 43.73, 67.90, 64.94, 50.63),
        (25.72, 44.70, 67.40, 65.10, 50.73),
        (26.45, 43.53, 63.30, 64.20, 49.37),
    ),
    "SRLM": (
        (26.94, 44.54, 66.90, 66.32, 51.18),
        (25.16, 44.62, 66.30, 65.00, 50.27),
        (25.33, 45.08, 67.00, 64.66, 50.52),
    ),
    "LMSI": (
        (25.10, 43.96, 65.50, 64.43, 49.75),
        (25.49, 43.50, 66.60, 63.51, 49.78),
        (24.83, 43.76, 64.90, 66.38, 49.97),
    ),
    "Genixer": (
        (26.02, 43.15, 65.50, 62.18, 49.22),
        (25.30, 44.11, 66.80, 64.25, 50.12),
        (23.68, 43.30, 65.50, 64.66, 49.29),
    ),
    "STIC": (
        (25.39, 42.92, 65.20, 62.99, 49.13),
        (23.49, 42.87, 64.30, 63.62, 48.57),
        (23.78, 42.72, 66.10, 63.74, 49.09),
    ),
    "MM-UPT": (
        (27.33, 42.46, 68.50, 66.61, 51.23),
        (27.07, 43.68, 68.90, 68.22, 51.97),
        (26.15, 44.87, 72.90, 68.74, 53.17),
    ),
    "MM-UPT, in-context": (
        (26.71, 41.24, 68.30, 67.76, 51.00),
        (26.09, 42.87, 70.60, 69.25, 52.20),
        (26.15, 45.10, 71.90, 68.62, 52.94),
    ),
    "MM-UPT, direct": (
        (26.88, 43.53, 69.90, 68.97, 52.32),
        (26.25, 44.64, 71.50, 68.28, 52.67),
        (26.15, 44.11, 70.40, 67.99, 52.16),
    ),
}
"""Tables 1 and 2: by method, on each of `TRAINING_SETS`. SFT is on own correct answers; GRPO and SFT read labels."""


@dataclass(frozen=True, slots=True)
class Change:
    """A figure before and after MM-UPT."""

    before: float
    after: float


OTHER_STARTS: Mapping[str, Change] = {
    "Qwen2.5-VL-3B": Change(39.00, 41.72),
    "MM-Eureka-7B": Change(53.10, 53.78),
    "ThinkLite-VL-7B": Change(52.63, 54.07),
}
"""Table 3, on Geometry3K."""

HARD_SET = Change(49.47, 44.11)
"""Table 4, on ThinkLite-11K."""

PASS_AT_10: Mapping[str, float] = {"start": 80.03, "MM-UPT": 72.50, "GRPO": 76.34}
"""Table 5."""

OUT_OF_DOMAIN: Mapping[str, Change] = {"ChartQA": Change(71.96, 77.48), "IconQA": Change(54.20, 56.55)}
"""Table 6."""

TEXT: Mapping[str, Change] = {"MATH": Change(51.2, 75.8), "Omni-MATH": Change(18.09, 32.72)}
"""Table 7: Qwen2.5-Math-7B on DAPO-17K."""


def means(method: str) -> tuple[str, ...]:
    """The cells of a method's row: the mean of the four benchmarks on each training set.

    >>> means("LMSI")
    ('49.75', '49.78', '49.97')
    """
    return tuple(f"{accuracies[-1]:.2f}" for accuracies in TRAINED[method])

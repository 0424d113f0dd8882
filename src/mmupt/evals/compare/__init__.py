"""Two measured models, question by question: `compare_runs`."""

from mmupt.evals.compare.comparing import Comparison, compare_runs

__all__ = ["Comparison", "compare_runs"]

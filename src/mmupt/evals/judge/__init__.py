"""A language model's verdict on responses: `judge_cases`."""

from mmupt.evals.judge.judging import judge_cases
from mmupt.evals.judge.protocol import Case, Verdict

__all__ = ["Case", "Verdict", "judge_cases"]

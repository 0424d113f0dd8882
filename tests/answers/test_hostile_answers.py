"""Text that tries to hang, crash or exhaust the reader. Each runs in a thread that has to finish."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from mmupt.answers.equivalence import canonical, grade, same
from mmupt.answers.extract import extract
from mmupt.answers.vote import vote

HOSTILE = [
    r"\pi_ " * 39, "|x|" * 20, r"i\,," * 40,
    "10^{10^{10}}", "9**9**9", "9^9^9^9", "((10^{99})^{99})^{99}", "(((9^{99})^{99})^{99})^{99}", "10^{9999999999}",
    "1e999999999", "1E-999999999", "2^{2^{2^{2^{2^{2}}}}}", r"\frac{1}{10^{-999999999}}", r"\exp(\exp(\exp(99)))",
    "99999999!", r"\binom{999999999}{499999999}", r"\sum_{n=1}^{10^{10}} n", r"\int_0^{10^9} x^x dx", r"\tan(10^{99})",
    "(x+1)^{99999}", r"\sqrt{" * 300 + "2" + "}" * 300, r"\frac{1}{" * 300 + "2" + "}" * 300,
    "(" * 500 + "1" + ")" * 500, "2e+99999999", r"\sqrt{1E-999999999}",
    "[" * 900, "{" * 900 + "}" * 5, "(1," * 200 + "1" + ")" * 200, "1," * 490, "1 and " * 160, "-" * 900 + "1",
    "|" * 900, "1, " + r"\sqrt{x+\sin y}, " * 18 + "2",
    "1" * 1000, "1" * 5000, "1/" * 450 + "1", "9" * 400 + "e400", " " * 990 + "1", "$" * 999,
    r"\text{" * 160 + "}" * 160, "$" * 499 + "1" + "$" * 499,
    r"\boxed{" * 120 + "}" * 120, "x = " * 240 + "1", "=" * 999, "a" * 1000, "\\" * 999, "__import__('os').getcwd()",
    "\u200b" * 999, "½" * 300, "x^{" * 300, "A" + "." * 990, "(A" + " " * 990 + ")", "^" * 900, r"\circ" * 190,
    "x " * 100 + "^2", "1 " + "km " * 300, "\ud800", "\x00" * 900 + "5",
]  # fmt: skip

RESPONSES = [
    r"\boxed{" * 30_000, r"\boxed{" * 30_000 + "1" + "}" * 30_000, "{" * 200_000 + r"\boxed{1}", "}" * 200_000,
    r"\boxed" + " " * 200_000 + "{1}", "<answer>" * 40_000, "</answer>" * 40_000, "<answer>" + "x" * 300_000,
    "answer is " * 30_000, "answer " + " " * 200_000 + "is", "the answer is" + " " * 200_000, "=" + " " * 200_000 + "x",
    "= " * 100_000 + "x", "1" * 200_000 + "x", "1," * 100_000 + "x", "(A" + " " * 200_000, r"\n" * 100_000 + "x",
    "\n" * 200_000, "<|" * 100_000, "答案" * 100_000,
]  # fmt: skip


def finishes(work: Callable[[], object], seconds: float = 20.0) -> None:
    """Run in a thread (where no signal could help) and assert that it ends, without an exception."""
    outcome: list[object] = []

    def run() -> None:
        try:
            work()
            outcome.append("done")
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert outcome == ["done"], outcome or f"still running after {seconds} s"


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:24]))
def test_a_hostile_answer_is_read_quickly(text: str) -> None:
    def work() -> None:
        canonical(text)
        assert same(text, text)
        assert grade(text, text, choices=["1", "x", text])
        vote([text, "1", None, text], choices=["1", "2"], tolerance=0.1)

    finishes(work)


@pytest.mark.parametrize("text", RESPONSES, ids=lambda text: ascii(text[:24]))
@pytest.mark.parametrize("mode", ["boxed", "lenient", "tag:answer"])
def test_a_hostile_response_is_read_quickly(text: str, mode: str) -> None:
    finishes(lambda: extract(text, mode))


@pytest.mark.parametrize("text", ["10^{10^{10}}", "9**9**9", "__import__('os').getcwd()", "(" * 500 + "1" + ")" * 500])
def test_what_is_too_large_to_compute_stays_text(text: str) -> None:
    assert canonical(text)[0] == "text"


def test_symbolic_answers_are_read_in_several_threads_at_once() -> None:
    texts = [rf"{n}\sqrt{{{n + 1}}}" for n in range(2, 12)]
    alone = [canonical(rf"\sqrt{{{n * n * (n + 1)}}}") for n in range(2, 12)]
    found: list[list[object]] = []

    def read() -> None:
        found.append([canonical(f" {text} ") for text in texts])

    threads = [threading.Thread(target=read, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [alone] * 4

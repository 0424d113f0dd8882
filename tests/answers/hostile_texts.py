"""A random grammar of hostile text, and the measurement that the test runs in a process of its own.

`python hostile_texts.py SEED COUNT` prints, as JSON, how many texts were read, the longest call in seconds of CPU time
with the text that took it, and by how many MiB the process grew at its peak.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator

from mmupt.answers.equivalence import canonical, grade, same
from mmupt.answers.extract import extract
from mmupt.answers.vote import vote

ATOMS = [
    "1", "2", "0", "-1", "x", "y", r"\pi", "10", "99", "1.5", "A", "(B)", "km", "cm^2", "%", "°", "$", "½", "three",
    "and", "or", "hundred", "of", "yes", "no", "PM", ":", "::", ",", ";", "=", "<", ">", r"\leq", "+", "-", "*", "**",
    "/", "^", "_", r"\pm", r"\cup", r"\infty", r"\circ", r"\{", r"\}", "(", ")", "[", "]", "{", "}", "|", "!", "~",
    "&", r"\\", r"\,", "\x00", "\x1b[31m", "\u200b", "\u202e", "\u2066", "\ufeff", "\ud800", "\udfff", "\u0301", "٣",
    "६", "四", "Ⅻ", "¹", "²", "\U0001d7d8", "…", "{0.__class__}", "%s%n", "%(x)s", "${HOME}", "__import__('os')",
    "<script>", "'; DROP TABLE", "\n", "\t", "\r", "\x85", "\u2028", "e", "E", "inf", "nan", "None", "True", "0x10",
    "1_000", "lambda:0", "1e999", "i", r"\frac", r"\sqrt", r"\boxed{", r"\text{", r"\begin{pmatrix}",
    r"\end{pmatrix}", "the answer is", "answer:", "####",
]  # fmt: skip


def _nested(rng: random.Random, size: int) -> str:
    opening, closing = rng.choice(
        [("(", ")"), ("[", "]"), ("{", "}"), (r"\{", r"\}"), (r"\sqrt{", "}"), (r"\frac{1}{", "}"), (r"\boxed{", "}"),
         (r"\text{", "}"), ("$", "$"), ("x^{", "}"), ("(1,", ")"), ("[[", "]]"), ("|", "|"), (r"\left(", r"\right)"),
         ("sqrt(", ")"), ("2^(", ")"), (r"\begin{pmatrix}", r"\end{pmatrix}"), ("-(", ")")]
    )  # fmt: skip
    depth = rng.randint(1, size)
    return opening * depth + rng.choice(ATOMS) + closing * rng.choice([depth, depth - 1, depth + 1, 0])


def _tower(rng: random.Random, size: int) -> str:
    power = rng.choice(["**", "^", "^{"])
    text = power.join(rng.choice(["9", "10", "x", "99", "(2)", "1.5"]) for _ in range(rng.randint(2, min(size, 60))))
    return text + "}" * text.count("{")


def _huge(rng: random.Random, size: int) -> str:
    n = rng.choice([10**9, 10**30, 9**99, 10 ** rng.randint(1, 900)])
    return rng.choice(
        [
            f"{n}!", rf"\sum_{{i=1}}^{{{n}}} i", rf"\prod_{{k=1}}^{{{n}}}k", rf"\binom{{{n}}}{{{n // 2}}}",
            f"2^{{{n}}}", f"1e{n}", f"1e-{n}", f"{n}/{n + 1}", rf"\sin({n})", rf"\sqrt[{n}]{{2}}", f"{n}", f"0.{n}",
            f"x^{{{n}}}", f"{n}:{n + 1}", f"{n} km", rf"\frac{{{n}}}{{{n}}}", f"0.({n})",
            f"{n % 10**6}^{{{n % 10**4}}}", f"(1+{n % 997}x)^{{{n % 10_007}}}", rf"\tan({n % 10**9}x)",
            rf"\log_{{{n}}}{{{n + 2}}}", rf"\exp({n % 10**5})", f"{n:,}", f"C({n},{n})",
        ]
    )  # fmt: skip


def _repeated(rng: random.Random, size: int) -> str:
    """The shapes that make a regular expression go back and forth: one piece many times, then something else."""
    piece = "".join(rng.choice(ATOMS) for _ in range(rng.randint(1, 3)))
    separator = rng.choice(["", " ", ",", ", ", "  "])
    return separator.join([piece] * rng.randint(1, size)) + rng.choice(["", "!", "x", "\x00", "}", "1"])


def _soup(rng: random.Random, size: int) -> str:
    return rng.choice(["", " "]).join(rng.choice(ATOMS) for _ in range(rng.randint(1, size)))


def _symbolic(rng: random.Random, size: int) -> str:
    """Well-formed expressions, which reach the parser, as items of a list."""

    def expression(depth: int) -> str:
        if depth == 0:
            return rng.choice(["1", "2", "x", "y", r"\pi", "0.3", "7", "0"])
        a, b = expression(depth - 1), expression(depth - 1)
        return rng.choice(
            [f"{a}+{b}", f"({a})({b})", rf"\frac{{{a}}}{{{b}}}", rf"\sqrt{{{a}}}", f"({a})^{{{rng.randint(-99, 999)}}}",
             rf"\sin({a})", rf"\log({a})", f"|{a}|", f"{a}={b}", f"{a}<{b}", rf"\sqrt[{rng.randint(0, 9)}]{{{a}}}"]
        )  # fmt: skip

    items = [expression(rng.randint(0, 3)) for _ in range(rng.choice([1, 1, 1, 2, rng.randint(1, 20)]))]
    return rng.choice(["{}", "({})", r"\{{{}}}", "[{}]", r"\pm {}", "{} cm"]).format(", ".join(items))


def texts(seed: int, count: int) -> Iterator[str]:
    """`count` hostile texts, most of them short, one in 1000 a megabyte long."""
    rng = random.Random(seed)
    kinds: list[Callable[[random.Random, int], str]] = [*[_nested, _tower, _huge, _repeated, _soup] * 3, _symbolic]
    for k in range(count):
        text = rng.choice(kinds)(rng, rng.choice([4, 12, 40, 200]))
        if k % 1000 == 0:
            text = (text * (10**6 // len(text) + 1))[: 10**6]
        yield text


CALLS: dict[str, Callable[[str], object]] = {
    "canonical": canonical,
    "canonical, choices": lambda text: canonical(text, choices=["1", "x", "45 km", "(1, 2)", text[:500]]),
    "same": lambda text: same(text, f" {text} "),
    "grade": lambda text: grade(text, "12", unit="cm", tolerance=0.01, precision=2),
    "grade, gold": lambda text: grade("12", text, precision=2),
    "vote": lambda text: vote([text, "1", None, f"{text} cm", text], tolerance=0.1),
    "extract": lambda text: extract(text, "lenient"),
    "extract, boxed": lambda text: extract(f"so \\boxed{{{text}}}"),
}


def peak_mebibytes() -> float:
    """The most memory that this process ever held (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(seed: int, count: int) -> dict[str, object]:
    """Read `count` texts in every way; the slowest call and the growth of memory."""
    canonical(r"\sqrt{2}")  # imports the parser, which is no text's fault
    start, slowest, number = peak_mebibytes(), (0.0, "", ""), 0
    for text in texts(seed, count):
        number += 1
        for name, call in CALLS.items():
            before = time.process_time()
            call(text)
            seconds = time.process_time() - before
            if seconds > slowest[0]:
                slowest = (seconds, name, ascii(text[:200]))
        assert same(text, text) and grade(text, text), ascii(text[:200])
    return {"read": number, "slowest": slowest, "grown": peak_mebibytes() - start}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))

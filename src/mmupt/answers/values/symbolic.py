r"""Symbolic answers (`\frac{\sqrt{3}}{2}`, `2\pi + 1`, `x(x+1)`) as canonical keys.

The LaTeX grammar is math-verify's (its parser, latex2sympy2-extended, without its SIGALRM timeout, which works in a
main thread only). It builds a tree and computes nothing; what computes is `_Evaluator` below, over a closed list of
operations. Text is checked against a closed vocabulary and bounds on length, nesting and exponents before the parser
sees it.

A key is a value, not a verdict on a pair, so that equality of keys is an equivalence relation:

- a number without letters is evaluated exactly where it is rational, else at 80 digits and rounded to 30;
- an expression with letters is evaluated at three fixed points (identity testing after Schwartz and Zippel);
- an equation or inequality by its two sides' difference at these points, up to a factor.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import threading
from collections.abc import Hashable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

_MAX_CHARACTERS = 200
_MAX_TOKENS = 120
_MAX_DEPTH = 6  # the parser's time grows with nesting: 0.3 s at 6, 1.3 s at 20
_MAX_LITERAL = 15  # digits of a decimal literal, which the parser keeps as a float
_MAX_EXPONENT = 10_000
_MAX_BITS = 100_000
_DIGITS = 80
_KEPT_DIGITS = 30
_NUM_POINTS = 3

_COMMAND = re.compile(
    "frac|sqrt|pi|cdot|times|div|sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|log|ln|exp|leq|geq|le|ge|lt|gt"
    "|alpha|beta|gamma|delta|theta|lambda|mu|phi|omega"
)
_TOKEN = re.compile(r"\\([A-Za-z]+)|(\d+(?:\.\d+)?|\.\d+)|([A-Za-z]+)|([-+*/^=<>(){}\[\]|_])|\s+")
_EXPONENT = re.compile(r"\^\s*(?:\{([^{}]*)\}|(\d+|[A-Za-z])|\\[A-Za-z]+|\(([^()]*)\))")
_SCIENTIFIC = re.compile(r"[0-9]\s*[eE]\s*[-+]?\s*[0-9]")  # the parser would compute 1e-999999999
_NOT_ARITHMETIC = re.compile(
    r"[0-9]+(?:-[0-9]+)+"  # 5-2-3-4-1 is an order, 3-2 a score
    r"|[0-9.]+(?:\s*(?:\\times|x)\s*[0-9.]+)+"  # 4 x 6 x 16 are measures: not the product, which 4 x 8 x 12 has too
    r"|\([A-Z]\)\s+.*"  # (B) 71: an option's label
    r"|.*(?<!_)[0-9]\s+[0-9].*"  # digits in groups, for which the parser has readings of its own
)
_SUBSCRIPT = re.compile(r"(?<=[A-Za-z])_\s*(?:[A-Za-z0-9](?!\s*_)|\{\s*[A-Za-z0-9]{1,4}\s*\}(?!\s*_))")
_MAX_SUBSCRIPTS = 8  # the parser's time doubles with each one left open: `\pi_ \pi_ \pi_`
_MAX_BARS = 8  # which opens and which closes, the parser tries out
_SHORT_WORDS = frozenset({"or", "to", "by", "is", "in", "of", "at", "on", "no", "if", "as", "an", "it"})
_SQRT_CALL = re.compile(r"(?<![A-Za-z\\])\\?sqrt\s*\(([^()]*)\)")
_SQRT_BARE = re.compile(r"(?:\\sqrt|(?<![A-Za-z\\])sqrt)\s*(\d+|[A-Za-z])(?![A-Za-z])")
_FRAC_BARE = re.compile(r"\\frac\s*(\{[^{}]*\}|\d)\s*(\{[^{}]*\}|\d)")
_JUXTAPOSED = re.compile(r"(\)|(?<![\d.^_])\d+(?:\.\d+)?|(?<=\d\.)\d+)\s*(?=\()|\)\s*(?=\d)")
_LOCK = threading.Lock()  # one mpmath context, one parser: neither promises to be safe in threads


if hasattr(os, "register_at_fork"):

    def _renew_lock() -> None:
        """A child forked while another thread was parsing would wait for ever."""
        global _LOCK
        _LOCK = threading.Lock()

    os.register_at_fork(after_in_child=_renew_lock)


class _Unreadable(Exception):
    """Not something this module gives a value to; the answer is compared as text."""


@lru_cache(maxsize=16_384)
def symbolic_key(text: str) -> tuple[str, Hashable] | None:
    r"""The canonical key of a symbolic answer already tidied, or None where it is none or is too large to look at.

    >>> symbolic_key(r"\sqrt{8}") == symbolic_key(r"2\sqrt{2}"), symbolic_key("10^{10^{10}}")
    (True, None)
    """
    latex = _spelled(text)
    if not _is_bounded(latex):
        return None
    with _LOCK:
        tree = _parsed(latex)
        if tree is None:
            return None
        try:
            return _Evaluator().key(tree)
        except (_Unreadable, ArithmeticError, ValueError):  # division by zero, log of zero, beyond the bounds
            return None


def _spelled(text: str) -> str:
    """In the parser's spelling: braces around what `\\sqrt` and `\\frac` take, a dot where brackets are multiplied."""
    if len(text) > _MAX_CHARACTERS:
        return text
    text = _SQRT_CALL.sub(r"\\sqrt{\1}", text)
    text = _SQRT_BARE.sub(r"\\sqrt{\1}", text)
    text = _FRAC_BARE.sub(lambda m: rf"\frac{_braced(m[1])}{_braced(m[2])}", text)
    text = re.sub(r"(?<![A-Za-z\\])pi(?![A-Za-z])", r"\\pi ", text)
    text = text.replace("**", "^")
    # The parser takes `(3)(2)` for a mixed number, 5.
    return _JUXTAPOSED.sub(lambda m: m[0] + r"\cdot ", text)


def _braced(argument: str) -> str:
    return argument if argument.startswith("{") else f"{{{argument}}}"


def _is_bounded(latex: str) -> bool:
    """Whether the text uses only the known vocabulary and stays inside every bound. Linear in its length."""
    if not latex or len(latex) > _MAX_CHARACTERS or _SCIENTIFIC.search(latex) or _NOT_ARITHMETIC.fullmatch(latex):
        return False
    subscripts = latex.count("_")
    if latex.count("|") > _MAX_BARS or subscripts > _MAX_SUBSCRIPTS or subscripts != len(_SUBSCRIPT.findall(latex)):
        return False
    position, tokens, depth, mathematical = 0, 0, 0, False
    while position < len(latex):
        match = _TOKEN.match(latex, position)
        if match is None:
            return False
        position = match.end()
        tokens += 1
        command, number, letters, sign = match.groups()
        if command is not None and not _COMMAND.fullmatch(command):
            return False
        if number is not None and len(number) > _MAX_LITERAL:
            return False
        if letters is not None and (len(letters) > 2 or letters in _SHORT_WORDS):
            return False
        if sign is not None:
            depth += (sign in "({[") - (sign in ")}]")
        if depth > _MAX_DEPTH or tokens > _MAX_TOKENS:
            return False
        mathematical = mathematical or bool(command or number) or (sign is not None and sign in "+-*/^=<>|")
    return mathematical and depth == 0 and _exponents_bounded(latex)


def _exponents_bounded(latex: str) -> bool:
    """No tower of powers; a power of powers counts as the product of its exponents."""
    largest, nested, count = 1, 1, 0
    for match in _EXPONENT.finditer(latex):
        count += 1
        exponent = match[1] or match[2] or match[3] or ""
        if "^" in exponent or latex[match.end() :].lstrip().startswith("^"):
            return False
        size = math.prod(max(1, math.ceil(float(n))) for n in re.findall(r"\d+(?:\.\d+)?", exponent))
        if latex[: match.start()].rstrip().endswith((")", "}", "]")):
            nested *= size
        else:
            largest = max(largest, size)
        if largest * nested > _MAX_EXPONENT:
            return False
    return count == latex.count("^")


def _parsed(latex: str) -> Any | None:
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy  # 0.4 to 2 s: only when needed

    try:
        return latex2sympy(
            latex,
            is_real=True,
            convert_degrees=False,
            normalization_config=None,
            conversion_config=ConversionConfig(lowercase_symbols=False),
        )
    except Exception:  # the parser raises bare Exception (and what its code stumbles over) on text outside its grammar
        return None


class _Evaluator:
    """Values of a sympy tree, exact (Fraction) as long as possible, else at 80 digits (mpmath complex)."""

    def __init__(self) -> None:
        import mpmath

        self.mp = mpmath.MPContext()
        self.mp.dps = _DIGITS

    def key(self, tree: Any) -> tuple[str, Hashable]:
        import sympy

        relations = {
            sympy.Equality: "=", sympy.StrictLessThan: "<", sympy.LessThan: "<=",
            sympy.StrictGreaterThan: ">", sympy.GreaterThan: ">=",
        }  # fmt: skip
        kind = relations.get(type(tree))
        if kind is None:
            if not isinstance(tree, sympy.Expr):
                raise _Unreadable
            return self._expression(tree)
        return self._relation(kind, tree.lhs, tree.rhs)

    def _expression(self, tree: Any) -> tuple[str, Hashable]:
        values = [self._rounded(self._value(tree, point)) for point in self._points(tree.free_symbols)]
        if all(v == values[0] for v in values):  # also where the letters cancel: x - x + 5 is 5
            return ("number", values[0]) if isinstance(values[0], Fraction) else ("complex", values[0])
        return ("expression", tuple(values))

    def _relation(self, kind: str, left: Any, right: Any) -> tuple[str, Hashable]:
        if kind in (">", ">="):
            left, right, kind = right, left, kind.replace(">", "<")
        points = self._points(left.free_symbols | right.free_symbols)
        values = [self._sum([self._value(left, point), self._product([Fraction(-1), self._value(right, point)])])
                  for point in points]  # fmt: skip
        if len(values) == 1 or not values[0]:
            raise _Unreadable  # "5 = 2 + 3" says nothing about a value
        scale = values[0] if kind == "=" else abs(self._number(values[0]))
        return (kind, tuple(self._rounded(self._number(v) / self._number(scale)) for v in values))

    def _points(self, symbols: Any) -> list[Mapping[str, Fraction]]:
        """Three assignments of the letters, drawn from their names; one empty assignment where there are none."""
        names = sorted(str(s) for s in symbols)
        if not names:
            return [{}]
        return [{name: _sample(name, point) for name in names} for point in range(_NUM_POINTS)]

    def _value(self, tree: Any, point: Mapping[str, Fraction]) -> Any:
        import sympy

        if isinstance(tree, sympy.Float):
            return Fraction(repr(float(tree)))  # literals have at most 15 digits, so this is what was written
        if isinstance(tree, sympy.Rational):
            return Fraction(int(tree.p), int(tree.q))
        if isinstance(tree, sympy.Symbol):
            return point[str(tree)]
        if tree is sympy.pi:
            return self.mp.mpc(self.mp.pi)
        if tree is sympy.E:
            return self.mp.mpc(self.mp.e)
        arguments = [self._value(a, point) for a in tree.args]
        if isinstance(tree, sympy.Add):
            return self._sum(arguments)
        if isinstance(tree, sympy.Mul):
            return self._product(arguments)
        if isinstance(tree, sympy.Pow):
            return self._power(arguments[0], arguments[1])
        return self._function(type(tree).__name__, arguments)

    def _sum(self, values: list[Any]) -> Any:
        return sum(values, Fraction(0)) if _exact(values) else self.mp.fsum([self._number(v) for v in values])

    def _product(self, values: list[Any]) -> Any:
        if not _exact(values):
            return self.mp.fprod([self._number(v) for v in values])
        result = Fraction(1)
        for value in values:
            result = _checked(result * value)
        return result

    def _power(self, base: Any, exponent: Any) -> Any:
        if isinstance(exponent, Fraction):
            if abs(exponent) > _MAX_EXPONENT:
                raise _Unreadable
            if isinstance(base, Fraction):
                if exponent.denominator == 1:
                    if _bits(base) * abs(exponent) > _MAX_BITS:
                        raise _Unreadable
                    return base ** int(exponent)
                root = _exact_root(base, exponent.denominator)
                if root is not None and _bits(root) * abs(exponent.numerator) <= _MAX_BITS:
                    return root**exponent.numerator
                if base < 0 and exponent.denominator % 2:  # the real root, as \sqrt[3]{-5} is meant
                    sign = -1 if exponent.numerator % 2 else 1
                    return sign * self.mp.power(self._number(-base), self._number(exponent))
            return self.mp.power(self._number(base), self._number(exponent))
        exponent = self._number(exponent)
        if abs(exponent) > _MAX_EXPONENT:
            raise _Unreadable
        return self.mp.power(self._number(base), exponent)

    def _function(self, name: str, arguments: list[Any]) -> Any:
        mp = self.mp
        if name == "Abs":
            return abs(arguments[0])
        values = [self._number(a) for a in arguments]
        if any(abs(v) > 10**9 for v in values):
            raise _Unreadable
        if name == "log":
            return mp.log(values[0]) / (mp.log(values[1]) if len(values) > 1 else 1)
        if name == "exp" and abs(values[0]) <= _MAX_EXPONENT:
            return mp.exp(values[0])
        if name in ("sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan") and len(values) == 1:
            return getattr(mp, name)(values[0])
        raise _Unreadable

    def _number(self, value: Any) -> Any:
        return self.mp.mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else value

    def _rounded(self, value: Any) -> Hashable:
        """A Fraction (real) or a pair of Fractions (complex)."""
        if isinstance(value, Fraction):
            return value
        value = self.mp.mpc(value)
        real, imaginary = self._rounded_real(value.real), self._rounded_real(value.imag)
        return real if imaginary == 0 else (real, imaginary)

    def _rounded_real(self, value: Any) -> Fraction:
        """To 30 significant digits; what lies within 1e-50 of a fraction of small terms is that fraction."""
        mp = self.mp
        if not mp.isfinite(value) or (value and abs(mp.log10(abs(value))) > _MAX_EXPONENT):
            raise _Unreadable
        exact = _fraction(value)
        near = exact.limit_denominator(10**9)
        if abs(near - exact) <= Fraction(max(1, abs(round(near))), 10**50):
            return near
        return Fraction(mp.nstr(value, _KEPT_DIGITS))


def _fraction(value: Any) -> Fraction:
    sign, mantissa, exponent, _ = value._mpf_
    number = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return -number if sign else number


def _exact(values: list[Any]) -> bool:
    return all(isinstance(v, Fraction) for v in values)


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _checked(value: Fraction) -> Fraction:
    if _bits(value) > _MAX_BITS:
        raise _Unreadable
    return value


def _exact_root(value: Fraction, degree: int) -> Fraction | None:
    """The square root of a square of fractions; other roots are found again by `_rounded_real`."""
    if degree != 2 or value < 0:
        return None
    top, bottom = math.isqrt(value.numerator), math.isqrt(value.denominator)
    return Fraction(top, bottom) if top * top == value.numerator and bottom * bottom == value.denominator else None


def _sample(name: str, point: int) -> Fraction:
    """A number drawn from the letter's name: in (1, 2) at the first two points, in (-2, -1) at the third."""
    digest = int.from_bytes(hashlib.sha256(f"{point}:{name}".encode()).digest()[:5], "big")
    value = 1 + Fraction(digest % 999_983 + 1, 1_000_003)
    return -value if point == 2 else value

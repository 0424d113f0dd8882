"""Reading the answer of free model output: where it is looked for, and what decides between several places."""

from __future__ import annotations

import time

import pytest

from mmupt.answers.equivalence import grade
from mmupt.answers.extract import extract


def read(response: str) -> str | None:
    return extract(response, "lenient").answer


@pytest.mark.parametrize(
    ("response", "answer", "where"),
    [
        (r"The answer is 4, so \boxed{5}", "5", "boxed"),
        ("The answer is (B).", "(B)", "the answer is"),
        ("Hence the final answer is: 3.50. The rest is talk.", "3.50", "the answer is"),
        ("The answer is $3,151.00.", "$3,151.00", "the answer is"),
        (r"Add.\n\nThe answer is 7.", "7", "the answer is"),
        ("first this\n\n**(C) 0.22**\nThe answer is C<|im_end|>", "C", "the answer is"),
        ("(D)\n\nExplanation: it has 3 circles.", "(D)", "letter"),
        ("D)", "D)", "letter"),
        ("(3, -4)", "(3, -4)", "whole response"),
        ("39°", "39°", "whole response"),
        ("top left corner", "top left corner", "whole response"),
        ("No, two of them are green.", "No", "first word"),
        ("The mode is 8.", "8", "conclusion"),
        ("We add.\nThere were 36/0.3 = 120 votes cast.", "120", "conclusion"),
        ("We add.\nSasha needs $0.08 to buy a tack.", "$0.08", "conclusion"),
        ("9\n\nI counted the dots of both dice and added them up.", "9", "line of its own"),
    ],
)
def test_where_an_answer_is_found(response: str, answer: str, where: str) -> None:
    found = extract(response, "lenient")
    assert (found.answer, found.where, found.reason) == (answer, where, None)


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("**Answer:** B", "B"),
        ("The **correct answer** is **(B)** since it is closed.", "(B)"),
        ("### Final Answer\n\n**12**", "12"),
        ("Final answer:\n$$\n\\frac{3}{7}\n$$", r"\frac{3}{7}"),
        ("so the correct option is (C), not (A)", "(C)"),
        ("I would go with option C", "C"),
        ("I'd choose (D).", "(D)"),
        ("Therefore, B is the correct answer.", "(B)"),
        ("Only option (E) is correct.", "(E)"),
        ("The answer to the question of how far they walked is 12 km.", "12 km"),
        ("The answer should be approximately 4.2", "4.2"),
        ("Thus, the answer is B (the red kite).", "(B) the red kite"),
        ("In total: 4 + 38\n#### 42", "42"),
        ("Ans: 7", "7"),
        ("Sure! The answer is $4 + 38 = 42$.", "42$"),
        ("La respuesta correcta es 5.", "5"),
        ("Die richtige Antwort lautet 5.", "5"),
        ("正解は B です", "B"),
        ("정답은 3", "3"),
    ],
)
def test_statements(response: str, answer: str) -> None:
    found = read(response)
    assert found is not None
    assert found.strip("$") == answer.strip("$")


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("因此,答案是C。", "C"),
        ("所以答案为（Ｂ）", "(B)"),
        ("综上，故选：Ｄ．", "D"),
        ("因此选A", "A"),
        ("正确选项是 C，因为面积最大。", "C"),
        ("答案：１２", "12"),
        ("这个三角形的面积为１２。", "12"),
    ],
)
def test_chinese_and_full_width_forms(response: str, answer: str) -> None:
    assert read(response) == answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("Mia needs $7.50.", "$7.50"),
        ("So, the string is stretched by 2.4 cm.", "2.4 cm"),
        (r"Hence it is stretched by a distance of $\sqrt{0.16} = 0.4$ meters.", "0.4 meters"),
        ("After that there are four small cubes left on the shelf.", "four"),
        ("The mass of the bowl is 120 grams.", "120 grams"),
        ("So the list of their ages is [2, 3].", "[2, 3]"),
        ("The clock shows 8:15.", "8:15"),
        ("We divide.\n= 12.", "12"),
        ("The team's best year was 2012, with 99 points.", "2012"),
        ("Leo spends $16 on beads and $16 on yarn, for a total of $32.", "$32"),
        ("It covers 9 tiles.\n\nI hope this helps! Is there anything else?", "9"),
        ("It covers 9 tiles. That is all there is to see.", "9"),
        ("First it is 4 m. Then we double it, so the fence is 8 m long.", "8 m"),
        (r"Therefore the ratio is $\frac{3}{4}$.", r"\frac{3}{4}"),
        ("The missing piece is (B).", "B"),
        ("Its height is -5.", "-5"),
    ],
)
def test_the_value_of_the_concluding_sentence(response: str, answer: str) -> None:
    assert read(response) == answer


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("", "empty response"),
        ("The answer is", None),
        ("<pkg.Response object at 0x7f00>", "no text of an answer"),
        ("<image2>", "no text of an answer"),
        ("It cannot be determined from the image.", "refusal"),
        ("The picture does not provide enough information to count 3 cars.", "refusal"),
        ("I'm sorry, but I can't see the 4 dice you mention.", "refusal"),
        ("The answer is unknown.", "refusal"),
        (r"Without the figures I cannot tell how many cells the $4 \times 4$ table needs.", "refusal"),
        ("So an exact answer couldn't be given for the 7 tiles.", "refusal"),
        ("It is dark, so no solution can be provided beyond 2 lamps.", "refusal"),
        ("Sadly the question seems to lack the 3 lengths.", "refusal"),
        ("To count all 12 lamps we require further details.", "refusal"),
        ("Of the 12 lamps, more information is needed.", "refusal"),
        ("抱歉，图中没有3个三角形的信息，无法确定。", "refusal"),
        ("It lies between 3 and 5 somewhere.", "several values, none of them the conclusion"),
        ("I think it is 6 or 7.", "several values, none of them the conclusion"),
        ("Therefore x = 3, y = 4.", "several values, none of them the conclusion"),
        ("A kitchen with a bowl and a rolling pin on the counter.", None),
    ],
)
def test_no_answer_is_invented(response: str, reason: str | None) -> None:
    found = extract(response, "lenient")
    assert found.answer is None
    assert found.reason == reason if reason else found.reason


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"\boxed{5}. So the answer is 6.", "5"),  # a box beats a statement
        (r"\boxed{5}, no: \boxed{6}", "6"),  # the last box
        (r"$\boxed{3}$ and $\boxed{4}$", "3, 4"),  # boxes that answer together
        (r"one box takes \boxed{3} kg, so all take \boxed{12} kg", "12"),  # boxes of two steps do not
        (r"\boxed{5} stands in \boxed{}", "5"),  # an empty box speaks of the format
        (r"Put it into \boxed{}. The answer is 5.", "5"),
        (r"The answer is $\boxed{\frac{1}{2}$ as shown.", r"\frac{1}{2}"),  # a forgotten brace
        (r"It is 12. The answer is \boxed{1", "12"),  # cut off: digits may be missing
        ("\x08oxed{7}", "7"),  # an escape that was lost
        (r"$\boxed{4+38=42}$", "42"),
        ("The answer is 4. Wait, I forgot one, so the answer is 5.", "5"),  # a correction
        ("The answer is 4.\n\nTo see it, note that 3 + 2 = 5.", "4"),  # a statement beats the rest
        ("(A)\n\nHence the answer is B.", "B"),  # and a letter
        ("The answer is (C).\n\nQuestion: What is next?\nAnswer: (D)", "(C)"),  # the next question is not ours
        ("Question: What is next?\nAnswer: (D)", "(D)"),  # unless nothing came before
        ("(A) red\n(B) blue\n(C) green", None),  # a list of options names none
        ("It cannot be determined.\n\nQuestion: What is 2 + 2?\nAnswer: 4", None),
        ("The answer is a list of 3 numbers. The final list is [1, 2, 4].", "[1, 2, 4]"),  # announced, then given
        ("I'm sorry, the image is dark, but the answer is 4.", "4"),  # a named answer beats a refusal
        ("The answer is 4. For a proof we would need more information.", "4"),
        ("The longest bar shows 31. This is because it ends at 31, not at 27.", "31"),  # answered first, then explained
        ("The longest bar shows **31**.\n\nBlue shows 27 and red shows 12 of them.", "31"),
        ("There are 9 boats. Because one is hidden behind 2 of them.", "9"),
        ("The tallest is 31 m. The others are 27 m and 12 m.", "31 m"),
        ("There are 3 boats. Since each holds 2, the total is 6.", "6"),  # a main clause concludes
        ("There are **3** boats of 2 each.\n\n3 * 2 = 6.", "6"),  # a calculation goes on
        ("There are **3** boats of 2 each. So the total is 6.", "6"),
        ("(E) 7\n(F) 8\n(AA) 9\n(", None),  # a list of options that never ends
    ],
)
def test_conflicts(response: str, answer: str | None) -> None:
    assert read(response) == answer


HOSTILE = [
    "the answer to " * 20_000, "the correct option of " * 20_000, "answer for" + " x" * 100_000, "(A) " * 60_000,
    "A is " * 60_000, "$" * 100_000, "$1 " * 60_000, "[1, " * 60_000, "1, " * 60_000 + "2", "[" + "1, " * 60_000,
    r"\frac{1}{" * 30_000, "**" * 80_000, "** a" * 40_000, "故选" * 60_000, "total of " * 30_000, "is about " * 30_000,
    "x = " * 60_000, r"\boxed{1} and " * 20_000, r"\boxed{1}" * 20_000, r"$\boxed{" * 20_000, "cannot be " * 30_000,
    "\nother options" * 20_000, "\n(A) x" * 30_000, "\nQuestion:" * 20_000, "does not a b " * 30_000, "\r" * 100_000,
    "1" * 200_000, "." * 200_000, "!\n" * 100_000, "\u00a0" * 200_000, "面积" * 80_000, "\ud800\x00\u202e" * 1000,
    "Yes" * 50_000, "**1** " * 30_000, "A, " * 60_000, "x = 1 + " * 30_000, "\\a" * 60_000 + "=", "{" * 100_000,
    "so 1, " * 30_000, "Since 1, if 1, " * 12_000, "x = 1 and y is 1, so " * 9_000, "(A) 1 (B) 2 " * 15_000,
    "= _" * 60_000, "=" + "_" * 150_000, "is (A) " * 30_000,
    "<" * 100_000, "1/" * 90_000, "-" * 150_000, "3 x 10^" * 30_000, "is 3 or " * 30_000,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:16]))
def test_time_is_linear_whatever_the_text(text: str) -> None:
    start = time.perf_counter()
    extract(text, "lenient", choices=["1", "A", "the answer", "x y"])
    extract(text, "lenient")
    assert time.perf_counter() - start < 8


def test_what_is_read_can_be_graded() -> None:
    assert grade(read("So the mass of the bowl is 120 grams."), "120")
    assert grade(read("Mia needs $7.50."), "7.5")
    assert grade(read(r"The height is $\frac{3}{4}$ m."), "0.75")
    assert not grade(read("It cannot be determined."), "0")


@pytest.mark.parametrize("response", ["No idea.", "I don't know.", "I do not know the answer.", "Not sure"])
def test_not_knowing_is_a_refusal(response: str) -> None:
    found = extract(response, "lenient")
    assert found.answer is None and found.reason == "refusal"


FOUR = ("10", "20", "30", "40")


@pytest.mark.parametrize(
    ("response", "choices", "answer"),
    [
        ("<answer>B</answer>", FOUR, "B"),
        ("<think>Is it \\boxed{3}? No.</think>\n<answer>The area is 5 cm.</answer>", None, "5 cm"),
        ("<think>Perhaps the answer is 7.</think> The answer is 8.", None, "8"),
        ("<think>The answer is 7.</think>", None, "7"),
        ("<answer></answer> The answer is 8.", None, "8"),
        ('{"answer": "B"}', FOUR, "B"),
        ('{"reason": "2 + 2", "answer": 4}', None, "4"),
        ("The ratio of red to blue is 3:4.", None, "3:4"),
        ("Both A and B hold, so D.", FOUR, "(D)"),
        ("It is the red one, not blue.", ("Red", "Blue"), "red"),
    ],
)
def test_tags_thoughts_and_objects(response: str, choices: tuple[str, ...] | None, answer: str) -> None:
    assert extract(response, "lenient", choices=choices).answer == answer

"""Responses to multiple-choice questions that name an option in their own words."""

from __future__ import annotations

import pytest

from mmupt.answers.equivalence import grade
from mmupt.answers.extract import extract
from mmupt.answers.reading.mentions import concluded, mentioned

LENGTHS = ["6cm", "7cm", "4cm", "5cm"]
CLOCK = ["half", "quarter", "o'clock", "quarter to", "quarter past"]
LETTERS = ["A", "B", "C", "D", "E"]
YES_NO = ["Yes", "No"]
TRUE_FALSE = ["True", "False"]
DEGREES = ["10°", "20°", "40°", "80°"]
ANIMALS = ["grass snakes", "corn snakes", "owls", "mice"]


@pytest.mark.parametrize(
    ("response", "choices", "option"),
    [
        ("Judging by the drawing, the length of AC is 5cm.", LENGTHS, "D"),
        ("Judging by the drawing, the length of AC is 5 cm.", LENGTHS, "D"),
        ("AC = 3 + 2 = 5 cm", LENGTHS, "D"),
        ("The correct answer is (B) No. There are no such boxes.", YES_NO, "B"),
        ("No, there are more red boxes.", YES_NO, "B"),
        ("Yes.", YES_NO, "A"),
        ("the train with the longest whistle is train A", LETTERS, "A"),
        ("A bird hides in every picture but picture D.", LETTERS, "D"),
        ("It is quarter past eight.", CLOCK, "E"),
        ("It is a quarter.", CLOCK, "B"),
        ("It is quarter past eight. (E)\n\nThe other options are wrong:\n* (D) Quarter to. Too late.", CLOCK, "E"),
        ("The answer is (C).\n\nChoice (A) is incorrect, it is too short.", LENGTHS, "C"),
        ("The answer is C (4cm).", LENGTHS, "C"),
        ("Hence the answer is:\n\nB (7cm)", LENGTHS, "B"),
        ("Most hurt would be the mice, as corn snakes and grass snakes eat them.", ANIMALS, "D"),
        ("The owls are hit harder than the mice.", ANIMALS, "C"),
        ("答案是 (D) 5cm。", LENGTHS, "D"),
        ("It cannot be determined.", ["3", "4", "It cannot be determined"], "C"),
        (r"so $\boxed{5\text{ cm}}$", LENGTHS, "D"),
        ("The owner with the most cats is Mr. Lee.", ["Mrs. Roe", "Mr. Lee"], "B"),
        ("The answer is Mr. Lee.", ["Mrs. Roe", "Mr. Lee"], "B"),
        ("6cm\n\nI measured it.", LENGTHS, "A"),
        ("The correct option letter is C.", LENGTHS, "C"),
        ("So the correct letter is (B), by symmetry.", LENGTHS, "B"),
        ("Here the choice letter is D", LENGTHS, "D"),
        ("The correct answer letter is: C", LENGTHS, "C"),
        ("The option letter (A, B, C or D) that fits is not A. It is 4cm.", LENGTHS, "C"),  # a list of labels
        ("No, it is darker. The palest option is D (Coral).", YES_NO, "B"),  # a letter beyond the last option
        ("E. Yes, it is pale. The palest colour is E (Coral).", YES_NO, "A"),
        ("No, Coral is not. The correct choice of colour is Teal.", YES_NO, "B"),  # a remark about no option
        ("AC = 3 + 4 - 2, so AC is 5cm.", LENGTHS, "D"),
        ("We know AB = 7cm, so AC measures 5cm.", LENGTHS, "D"),  # a premise names no option
        ("AC measures 5cm because AB is 7cm long.", LENGTHS, "D"),
        ("Angle P = 20.0, so angle Q is equal to 80.0.", DEGREES, "D"),
        ("So the length of AC is (D). Half of AB = 9. Therefore AC is 4.5 cm.", LENGTHS, "D"),  # 4.5 cm is no option
        ("(A) 6cm, since (B) and (C) are too long.", LENGTHS, "A"),  # labels, but no list
        ("Yes, a lens can do it. It shifts rays p to q.", TRUE_FALSE, "A"),
        ("No, it sinks.", TRUE_FALSE, "B"),
        ("False, both are alike.", YES_NO, "B"),
        ("True.", ["No", "Yes"], "B"),
    ],
)
def test_the_option_that_is_named(response: str, choices: list[str], option: str) -> None:
    assert grade(extract(response, "lenient", choices=choices).answer, option, choices=choices)


@pytest.mark.parametrize(
    ("response", "choices"),
    [
        ("The length of AC is 11 cm.", LENGTHS),  # a value that is no option
        ("It may be 5cm or 6cm.", LENGTHS),
        ("So the rim is 2π√(3) = 6π.", ["1", "2", "3"]),  # part of a formula
        ("The answer is either A or B.", LETTERS),
        (r"\boxed{(A), (B)}", LETTERS),
        ("A circle has no corners, I think.", LETTERS),  # words, not letters
        ("The answer is (A) 5cm.", LENGTHS),  # a letter against the text of another option
        ("There is a bowl on the table.", ANIMALS),
        ('I do not have enough information to say "Yes" or "No".\n\nQuestion: 1 + 1?\nThe answer is A.', YES_NO),
        ("It cannot be said which letter (A, B, C, D) is meant.", LENGTHS),
        ("I can't choose any of the given options, not even (A).", LENGTHS),
        ("The palest option is D (Coral).", YES_NO),
        ("Coral is the palest of all.", YES_NO),  # no "yes" is inferred
        ("Judging by the plot, Coral is not the palest.", YES_NO),  # nor a "no"
        ("(A) 6cm (B) 7cm (C) 4cm (D) 5cm", LENGTHS),
        ("If angle P = 20 degrees, then angle Q = (blank).", DEGREES),
        ("Angle Q is wide, if angle P is 20 degrees.", DEGREES),
        ("Whether Coral is not the palest is open.", YES_NO),
        ("(C) Yes\n(D) No", YES_NO),
        ("A = 4 * 3 + 1", ["4", "3", "1"]),  # parts of a formula
        ("I cannot determine whether the owls or the mice suffer.", ANIMALS),
    ],
)
def test_no_option_is_invented(response: str, choices: list[str]) -> None:
    answer = extract(response, "lenient", choices=choices).answer
    assert not any(grade(answer, chr(ord("A") + i), choices=choices) for i in range(len(choices)))


def test_the_longest_text_wins_and_labels_come_first() -> None:
    assert mentioned("quarter past three", tuple(CLOCK)) == {4: "quarter past"}
    assert mentioned("option C, the owls", tuple(ANIMALS)) == {2: "owls"}
    assert mentioned("(A), mice", tuple(ANIMALS)) == {0: "(A)", 3: "mice"}
    assert mentioned("(A), not mice", tuple(ANIMALS)) == {0: "(A)"}
    assert mentioned("the 55cm rope", tuple(LENGTHS)) == {}
    assert concluded("owls eat mice", tuple(ANIMALS)) == {2: "owls", 3: "mice"}


CIRCLES = ("$\\pi$", "$2\\pi$", "$\\sqrt{3}$", "$4$", "$6\\pi$")


@pytest.mark.parametrize(
    "response",
    [
        r"$\frac{7}{2} \pi$", r"The answer is $\frac{7}{2} \pi$.", r"$7 \cdot \pi$", r"$\pi + 1$", r"$(1+x)\pi$",
        r"$\pi r^2$", r"$\sqrt{3}\pi$", r"$\frac{1}{2}\sqrt{3}$", r"The area is $\frac{1}{2} \cdot 4 \pi$.",
    ],
)  # fmt: skip
def test_a_part_of_a_formula_is_no_option(response: str) -> None:
    answer = extract(response, "lenient", choices=CIRCLES).answer
    assert not any(grade(answer, letter, choices=CIRCLES) for letter in "ABCDE")


@pytest.mark.parametrize(
    ("response", "choices", "letter"),
    [
        (r"The area is $2\pi$.", CIRCLES, "B"),
        (r"$\sqrt{16}=4=D$", CIRCLES, "D"),
        (r"$3 \times 2\pi = 6\pi$", CIRCLES, "E"),
        ("Image5", ("<image4>", "<image5>"), "B"),
        ("<image5>", ("<image4>", "<image5>"), "B"),
    ],
)
def test_what_a_calculation_ends_in_and_pictures(response: str, choices: tuple[str, ...], letter: str) -> None:
    assert grade(extract(response, "lenient", choices=choices).answer, letter, choices=choices)

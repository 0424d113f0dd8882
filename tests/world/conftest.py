"""A second, plain-minded world: it answers questions from a picture's key with none of mmupt's code."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import pytest

PLACES = ["top left", "top right", "bottom left", "bottom right"]
COLORS = ["red", "blue", "green", "yellow"]


@pytest.fixture(scope="session")
def slow_answer() -> Callable[..., str]:
    """`slow_answer(key, question, choices=None)`, the true answer."""
    kinds = {"dice": _dice, "shapes": _shapes, "bars": _bars, "table": _table, "clock": _clock}
    kinds |= {"board": _board, "sales": _sales, "grouped_bars": _grouped_bars}

    def _answer(key: str, question: str, choices: tuple[str, ...] | None = None) -> str:
        kind, contents = key.split(":", 1)
        return kinds[kind](contents, question, choices)

    return _answer


def _yes(condition: bool) -> str:
    return "yes" if condition else "no"


def _ratio(top: int, bottom: int) -> str:
    divisor = math.gcd(top, bottom)
    top, bottom = top // divisor, bottom // divisor
    return str(top) if bottom == 1 else f"{top}/{bottom}"


def _numbers(numbers: list[int], question: str) -> str | None:
    if re.match(r"Add all", question):
        total = 0
        for number in numbers:
            total = total + number
        return str(total)
    if re.match(r"Largest (die|value|number)", question):
        return str(sorted(numbers)[-1])
    if question == "Smallest die?":
        return str(sorted(numbers)[0])
    if question == "Largest minus smallest?":
        return str(max(abs(a - b) for a in numbers for b in numbers))
    if re.match(r"List", question):
        return ", ".join(str(n) for value in range(10) for n in numbers if n == value)
    if re.match(r"(Does|Is) the top row", question):
        return _yes(numbers[0] + numbers[1] - numbers[2] - numbers[3] > 0)
    return None


def _dice(contents: str, question: str, _choices) -> str:
    dice = re.findall(r"([a-z]+)(\d)", contents)
    faces = [int(face) for _, face in dice]
    if plain := _numbers(faces, question):
        return plain
    if match := re.fullmatch(r"How many (red|blue) dice\?", question):
        return str(contents.count(match[1]))
    if match := re.fullmatch(r"What fraction of the dice is (red|blue)\?", question):
        return _ratio(contents.count(match[1]), 4)
    if match := re.fullmatch(r"Add the (red|blue) dice\.", question):
        return str(sum(int(face) for color, face in dice if color == match[1]))
    if match := re.fullmatch(r"How many dice show more than (\d)\?", question):
        return str(len([face for face in faces if face > int(match[1])]))
    if match := re.fullmatch(r"What does the (.*) die show\?", question):
        return dice[PLACES.index(match[1])][1]
    match = re.fullmatch(r"Which color is the (.*) die\?", question)
    return dice[PLACES.index(match[1])][0]


def _shapes(contents: str, question: str, choices) -> str:
    cells = [entry.split("-") for entry in contents.split(",")]
    names = [shape for _, shape in cells]
    if match := re.fullmatch(r"Which (shape|color) is (.*)\?", question):
        return cells[PLACES.index(match[2])][match[1] == "shape"]
    if match := re.fullmatch(r"Which choice is the (.*) shape\?", question):
        return "ABC"[choices.index(names[PLACES.index(match[1])])]
    if match := re.fullmatch(r"How many (\w+) shapes\?", question):
        return str(contents.count(match[1]))
    if match := re.fullmatch(r"How many (\w+) (\w+)s\?", question):
        if question == "How many different colors?":
            return str(sum(color in contents for color in COLORS))
        return str(contents.count(f"{match[1]}-{match[2]}"))
    if match := re.fullmatch(r"How many (\w+)s\?", question):
        return str(contents.count(match[1]))
    if match := re.fullmatch(r"What fraction of the shapes are (\w+)s\?", question):
        return _ratio(contents.count(match[1]), 4)
    match = re.fullmatch(r"Are there more (\w+)s than (\w+)s, yes or no\?", question)
    return _yes(contents.count(match[1]) > contents.count(match[2]))


def _bars(contents: str, question: str, _choices) -> str:
    bars = {color: int(value) for color, value in re.findall(r"([a-z]+)(\d)", contents)}
    if plain := _numbers(list(bars.values()), question):
        return plain
    if match := re.fullmatch(r"How high is the (\w+) bar\?", question):
        return str(bars[match[1]])
    if question == "Which bar is highest?":
        (color,) = [color for color in bars if all(bars[color] > v for other, v in bars.items() if other != color)]
        return color
    if question == "Mean of the bars?":
        return _ratio(sum(bars.values()), len(bars))
    match = re.fullmatch(r"(\w+) minus (\w+)\?", question)
    return str(bars[match[1].lower()] - bars[match[2]])


def _table(contents: str, question: str, _choices) -> str:
    digits = [int(digit) for digit in contents.split(",")]
    if plain := _numbers(digits, question):
        return plain
    if match := re.fullmatch(r"Which number is (.*)\?", question):
        return str(digits[PLACES.index(match[1])])
    if match := re.fullmatch(r"Add the (top|bottom|left|right) (row|column)\.", question):
        return str(sum(d for place, d in zip(PLACES, digits, strict=True) if match[1] in place))
    if question == "How many even numbers?":
        return str(sum(digit in (0, 2, 4, 6, 8) for digit in digits))
    match = re.fullmatch(r"(.*) times (.*)\?", question)
    return str(digits[PLACES.index(match[1].lower())] * digits[PLACES.index(match[2])])


def _clock(contents: str, question: str, _choices) -> str:
    time, rim, hour_hand, minute_hand = contents.split("-")
    hour, minute = time.split(":")
    if question == "Which hour does the clock show?":
        return hour
    if question == "How many minutes past the hour?":
        return str(int(minute))
    if match := re.fullmatch(r"Which color is the (.*)\?", question):
        return {"rim": rim, "hour hand": hour_hand, "minute hand": minute_hand}[match[1]]
    if question == "What time is it?":
        return time
    if question == "Angle of the minute hand in degrees?":
        return {"00": "0", "15": "90", "30": "180", "45": "270"}[minute]
    match = re.fullmatch(r"What time is it (\d+) minutes later\?", question)
    hours, minutes = int(hour), int(minute)
    for _ in range(int(match[1])):
        minutes += 1
        if minutes == 60:
            hours, minutes = hours + 1, 0
        if hours == 13:
            hours = 1
    return f"{hours}:{str(minutes).zfill(2)}"


def _the_most(totals: dict[str, int]) -> str:
    (best,) = [name for name in totals if all(totals[name] > own for other, own in totals.items() if other != name)]
    return best


def _board(contents: str, question: str, choices) -> str:
    tiles = [entry.split("-") for entry in contents.split(",")]
    lines = [tiles[0:4], tiles[4:8], tiles[8:12]]

    def total(word: str) -> int:
        return sum(int(number) for color, _, number in tiles if color == word)

    if match := re.fullmatch(r"Which (number|color|choice) is (?:the shape )?in row (\d), column (\d)\?", question):
        color, shape, number = lines[int(match[2]) - 1][int(match[3]) - 1]
        if match[1] == "choice":
            return "ABC"[choices.index(shape)]
        return number if match[1] == "number" else color
    if match := re.fullmatch(r"How many (\w+) tiles\?", question):
        return str(contents.count(match[1]))
    if match := re.fullmatch(r"Add the numbers of row (\d)\.", question):
        return str(sum(int(number) for _, _, number in lines[int(match[1]) - 1]))
    if match := re.fullmatch(r"Add the numbers on (\w+) tiles\.", question):
        return str(total(match[1]))
    if match := re.fullmatch(r"Largest number on a (\w+)\?", question):
        return sorted(number for _, shape, number in tiles if shape == match[1])[-1]
    if match := re.fullmatch(r"Add the numbers on (\w+) (\w+)s\.", question):
        return str(sum(int(n) for n in re.findall(f"{match[1]}-{match[2]}-(\\d)", contents)))
    if match := re.fullmatch(r"How many (\w+) tiles show an even number\?", question):
        return str(len(re.findall(f"{match[1]}-[a-z]+-[2468]", contents)))
    if match := re.fullmatch(r"What is the (\w+) sum minus the (\w+) sum\?", question):
        return str(total(match[1]) - total(match[2]))
    if match := re.fullmatch(r"Do (\w+) tiles add up to more than (\w+) ones, yes or no\?", question):
        return _yes(total(match[1]) > total(match[2]))
    assert question == "Which color adds up to the most?"
    return _the_most({color: total(color) for color in COLORS})


def _sales(contents: str, question: str, _choices) -> str:
    sold = {}
    for row in contents.split(","):
        shop, *cells = row.split("-")
        for cell in cells:
            sold[shop, cell[:2]] = int(cell[2:])

    def total(name: str) -> int:
        return sum(number for names, number in sold.items() if name in names)

    days = {day: None for _, day in sold}
    if match := re.fullmatch(r"Sales of shop (\w) on (\w\w)\?", question):
        return str(sold[match[1], match[2]])
    if match := re.fullmatch(r"Total sales (?:of shop|on) (\w+)\?", question):
        return str(total(match[1]))
    if match := re.fullmatch(r"On which day did shop (\w) sell the most\?", question):
        return _the_most({day: number for (shop, day), number in sold.items() if shop == match[1]})
    if match := re.fullmatch(r"Which shop sold the most on (\w\w)\?", question):
        return _the_most({shop: number for (shop, day), number in sold.items() if day == match[1]})
    if match := re.fullmatch(r"Largest minus smallest of shop (\w)\?", question):
        own = [sold[match[1], day] for day in days]
        return str(max(abs(a - b) for a in own for b in own))
    if match := re.fullmatch(r"Mean sales of shop (\w)\?", question):
        return _ratio(total(match[1]), 4)
    if match := re.fullmatch(r"Total of shop (\w) minus total of shop (\w)\?", question):
        return str(total(match[1]) - total(match[2]))
    if match := re.fullmatch(r"Was more sold on (\w\w) than on (\w\w), yes or no\?", question):
        return _yes(total(match[1]) > total(match[2]))
    if match := re.fullmatch(r"On how many days did shop (\w) sell more than shop (\w)\?", question):
        return str(len([day for day in days if sold[match[1], day] > sold[match[2], day]]))
    assert question == "Which shop sold the most in total?"
    return _the_most({shop: total(shop) for shop, _ in sold})


def _grouped_bars(contents: str, question: str, _choices) -> str:
    bars = {}
    for group in contents.split(","):
        for color, value in re.findall(r"([a-z]+)(\d)", group):
            bars[group[0], color] = int(value)

    def total(name: str) -> int:
        return sum(value for names, value in bars.items() if name in names)

    names = {name: None for name, _ in bars}
    if match := re.fullmatch(r"How high is the (\w+) bar of (\w)\?", question):
        return str(bars[match[2], match[1]])
    if match := re.fullmatch(r"Add the (?:bars of )?(\w+)(?: bars)?\.", question):
        return str(total(match[1]))
    if match := re.fullmatch(r"Which group has the highest (\w+) bar\?", question):
        return _the_most({name: bars[name, match[1]] for name in names})
    if match := re.fullmatch(r"Mean of the (\w+) bars\?", question):
        return _ratio(total(match[1]), len(names))
    if match := re.fullmatch(r"In how many groups is (\w+) higher than (\w+)\?", question):
        return str(len([name for name in names if bars[name, match[1]] > bars[name, match[2]]]))
    if match := re.fullmatch(r"Sum of the (\w+) bars minus sum of the (\w+) bars\?", question):
        return str(total(match[1]) - total(match[2]))
    if match := re.fullmatch(r"Does group (\w) add up to more than group (\w), yes or no\?", question):
        return _yes(total(match[1]) > total(match[2]))
    assert question == "Which group adds up to the most?"
    return _the_most({name: total(name) for name in names})

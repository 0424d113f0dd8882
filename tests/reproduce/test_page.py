"""The page from made-up results: what holds, what does not, what is missing and what has failed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmupt.errors import DataError
from mmupt.reproduce.claims import ORDERINGS, TRENDS, Ordering, curves_of
from mmupt.reproduce.figure import draw
from mmupt.reproduce.figures import Difference, difference, over_seeds
from mmupt.reproduce.kept import Kept
from mmupt.reproduce.page import BEGIN, END, page, write_page
from mmupt.reproduce.written import Asked


def row(lines: list[str], label: str, nth: int = 0) -> list[str]:
    """The cells of the nth row that begins with a label."""
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [cells for cells in found if cells[0] == label][nth]


class TestFigures:
    def test_a_mean_over_seeds_with_its_spread(self, kept: Kept) -> None:
        found = over_seeds(kept, "upt", "mean")
        assert found is not None and found.seeds == 3
        assert [found.low, found.high] == pytest.approx([(0.7 + 0.9) / 3, (0.8 + 0.9) / 3])
        assert found.value == pytest.approx(np.mean([1.6, 1.7, 1.6]) / 3)

    def test_pass_counts_questions_with_any_right_sample(self, kept: Kept) -> None:
        found = over_seeds(kept, "upt", "pass")
        assert found is not None and found.value == pytest.approx(2 / 3)

    def test_a_stage_by_its_name_else_the_last(self, kept: Kept) -> None:
        values = [over_seeds(kept, which, "mean") for which in ("loop:upt-1", "loop:upt-3", "loop")]
        assert [round(v.value, 3) for v in values if v is not None] == [0.55, 0.65, 0.65]
        assert over_seeds(kept, "loop:upt-9", "mean") is None

    def test_differences_pair_seeds_that_both_have(self, kept: Kept) -> None:
        found = difference(kept, "upt", "lmsi", "mean")
        assert found is not None and found.by_seed == {0: 0.0}
        reach = 1 - 0.025 ** (1 / 60)
        assert (found.low, found.high) == pytest.approx((-reach, reach)), "sameness of 60 questions shows little"

    def test_the_interval_is_that_of_a_slow_bootstrap_within_seeds(self, kept: Kept) -> None:
        found = difference(kept, "upt", "start", "mean")
        assert found is not None
        rng = np.random.default_rng(1)
        seeds = []
        for seed in range(3):
            a, b = kept.scores("upt", seed), kept.scores("start", seed)
            assert a is not None and b is not None
            seeds.append(a.by_question("mean") - b.by_question("mean"))
        drawn = [np.mean([rng.choice(d, len(d)).mean() for d in seeds]) for _ in range(3000)]
        assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.01)
        assert found.value == pytest.approx(np.mean(seeds))

    def test_other_questions_are_no_pair(self, kept: Kept, made_scores, made_result) -> None:
        kept.put(*made_result("lmsi", 1, made_scores([5], questions="others")))
        with pytest.raises(DataError, match="upt and lmsi, seed 1: measured on different questions"):
            difference(kept, "upt", "lmsi", "mean")


@pytest.mark.parametrize(
    ("low", "high", "above", "at_least"),
    [(0.01, 0.03, "held", "held"), (-0.01, 0.03, "not shown", "held"), (-0.03, -0.01, "not held", "not held")],
)
def test_the_rule(low: float, high: float, above: str, at_least: str) -> None:
    found = Difference((low + high) / 2, low, high, {0: 0.0})
    assert Ordering("", "a", "b").verdict(found) == above
    assert Ordering("", "a", "b", at_least=True).verdict(found) == at_least


def test_the_rule_of_trends() -> None:
    rises, falls = TRENDS
    assert [rises.verdict({0: x, 1: y}) for x, y in ((0.1, 0.2), (0.1, -0.2), (-0.1, -0.2))] == [
        "held", "not shown", "not held"]  # fmt: skip
    assert falls.verdict({0: -0.1}) == "held" and falls.verdict({0: 0.0}) == "not held"


class TestPage:
    def test_what_holds_and_what_does_not(self, kept: Kept) -> None:
        lines = page(kept, drawn=True)
        assert row(lines, "rounds on pictures alone end above the start")[1] == "held"
        assert row(lines, "GRPO with labels at or above MM-UPT")[1] == "**not held**"
        assert row(lines, "MM-UPT above LMSI")[1:4] == ["not shown", "+0.0 (-6.0 to +6.0)", "+0.0"]
        assert row(lines, "pass@10 falls under MM-UPT")[1:3] == ["held", row(lines, "pass@10 falls under MM-UPT")[2]]
        assert row(lines, "pass@10 falls under MM-UPT")[2].startswith("+33.3 (") and "pass@10" in "".join(lines)
        assert row(lines, "the majority reward rises")[1:3] == ["held", "+0.10, last 10 steps against the first"]
        assert row(lines, "semantic entropy falls")[1] == "held"
        assert row(lines, "the hard set does harm without the guard")[1] == "not measured yet"

    def test_every_ordering_is_there_with_the_papers_numbers(self, kept: Kept) -> None:
        lines = page(kept, drawn=True)
        for ordering in ORDERINGS:
            assert any(line.startswith(f"| {ordering.text} |") and ordering.paper in line for line in lines)

    def test_tables(self, kept: Kept) -> None:
        lines = page(kept, drawn=True)
        assert row(lines, "start") == ["start", "50.0 (50.0 to 50.0)", "60.0 (60.0 to 60.0)", "", "3",
                                       "49.47", "49.47", "49.47"]  # fmt: skip
        mm_upt = row(lines, "MM-UPT")
        assert mm_upt[1] == "54.4 (53.3 to 56.7)" and mm_upt[3].startswith("+4.4 (") and mm_upt[4:] == [
            "3", "51.23", "51.97", "53.17"]  # fmt: skip
        assert row(lines, "STIC") == ["STIC", "not measured yet", "", "", "", "49.13", "48.57", "49.09"]
        assert row(lines, "round 3")[1] == "65.0"

    def test_a_round_that_the_guard_left_out(self, kept: Kept, made_scores, made_result) -> None:
        kept.put(*made_result("loop", 0, made_scores([5, 6]), made_scores([6, 6])))
        lines = page(kept, drawn=True)
        assert row(lines, "round 2")[1] == "60.0"
        assert row(lines, "round 3")[1] == "left out, the guard had ended it"
        assert row(lines, "rounds on pictures alone end above the start")[1] == "held", "the last model counts"

    def test_failed_runs_are_listed_on_one_line(self, kept: Kept) -> None:
        lines = page(kept, drawn=True)
        assert "- `seed-0/hard`: error: the loss is not | finite" in lines
        assert row(lines, "MM-UPT on the hard set")[1] == "not measured yet"

    def test_what_the_guards_did(self, kept: Kept) -> None:
        assert "- `seed-0/loop`: upt-1: nothing seen" in page(kept, drawn=True)

    def test_what_became_of_written_questions(self, kept: Kept, made_scores, made_result) -> None:
        case, result = made_result("direct", 0, made_scores([5]))
        kept.put(case, replace(result, asked={"synth": Asked(40, 20, 8, 6, 3), "empty": Asked(0, 0, 0, 0, 0)}))
        lines = page(kept, drawn=True)
        assert row(lines, "`seed-0/direct`, synth")[1:] == ["40", "50.0 %", "8", "75.0 %", "50.0 %"]
        assert row(lines, "`seed-0/direct`, empty")[1:] == ["0", "", "0", "", ""]

    def test_nothing_measured(self, tmp_path: Path) -> None:
        lines = page(Kept.read(tmp_path / "none.json"), drawn=False)
        assert lines[0] == "**Not measured yet.** `mmupt reproduce` fills this page."
        verdicts = [row(lines, ordering.text)[1] for ordering in ORDERINGS]
        assert set(verdicts) == {"not measured yet"}
        assert not any(".png" in line for line in lines)

    def test_only_what_stands_between_the_markers_is_written(self, tmp_path: Path) -> None:
        file = tmp_path / "results.md"
        file.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
        write_page(file, ["new", "lines"])
        assert file.read_text(encoding="utf-8") == f"before\n{BEGIN}\nnew\nlines\n{END}\nafter\n"
        write_page(tmp_path / "fresh.md", ["new"])
        assert (tmp_path / "fresh.md").read_text(encoding="utf-8").startswith("# Results")
        file.write_text("no markers", encoding="utf-8")
        with pytest.raises(DataError, match="has no lines"):
            write_page(file, ["new"])
        assert file.read_text(encoding="utf-8") == "no markers"


def test_the_figure(kept: Kept, tmp_path: Path) -> None:
    curves = curves_of(kept, "upt")
    assert sorted(curves) == [0, 1, 2]
    draw(curves, tmp_path / "figures" / "reproduce.png")
    assert (tmp_path / "figures" / "reproduce.png").read_bytes().startswith(b"\x89PNG")

"""The paper's tables as data: which run stands in which row, and the paper's own numbers beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmupt.reproduce import paper
from mmupt.reproduce.kept import Figure


@dataclass(frozen=True, slots=True)
class Row:
    """`run` is a run or RUN:STAGE, `against` what its change is counted from (None: it is a start itself), `paper` the
    cells under the table's paper columns."""

    label: str
    run: str
    against: str | None
    paper: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """`key` is what `--table` calls it, `text` what differs from the paper's, `figures` what is shown of a run; changes
    are those of the first."""

    key: str
    title: str
    text: str
    paper_columns: tuple[str, ...]
    rows: tuple[Row, ...]
    figures: tuple[Figure, ...] = ("mean", "greedy")

    @property
    def runs(self) -> tuple[str, ...]:
        """The names of all runs in it, and of those they are compared with."""
        asked = [name for row in self.rows for name in (row.run, row.against) if name is not None]
        return tuple(dict.fromkeys(name.partition(":")[0] for name in asked))


def _pair(change: paper.Change) -> tuple[str, str]:
    return f"{change.before:.2f}", f"{change.after:.2f}"


_START = tuple(f"{paper.START[-1]:.2f}" for _ in paper.TRAINING_SETS)


def _made(label: str, run: str, method: str, against: str = "start") -> Row:
    return Row(label, run, against, paper.means(method))


_NONE = ("", "", "")
_WEAK, _WEAK_UPT = _pair(paper.OTHER_STARTS["Qwen2.5-VL-3B"])
_EUREKA, _EUREKA_UPT = _pair(paper.OTHER_STARTS["MM-Eureka-7B"])
_THINKLITE, _THINKLITE_UPT = _pair(paper.OTHER_STARTS["ThinkLite-VL-7B"])
_HARD, _HARD_UPT = _pair(paper.HARD_SET)
_CHART, _CHART_UPT = _pair(paper.OUT_OF_DOMAIN["ChartQA"])
_ICON, _ICON_UPT = _pair(paper.OUT_OF_DOMAIN["IconQA"])

_ALL = (
    Table(
        "1",
        "Table 1: MM-UPT beside other methods",
        "The paper has three training sets; here every seed draws a training set, a start model and 500 test questions "
        "of its own. All methods learn from the same pool of 2000 questions about dice, of which each is asked 1440 "
        "(Genixer 1080, more often); those with labels also see the answers. In the paper GRPO with labels is above "
        "MM-UPT on one of its three sets, level on one and below on one. STIC is at a disadvantage here, as the tiny "
        "model has never read a description in front of a question; so are SRLM and Genixer, as its verdicts on its "
        "own answers are poor (docs/baselines.md).",
        paper.TRAINING_SETS,
        (
            Row("start", "start", None, _START),
            _made("GRPO, labels", "grpo", "GRPO"),
            _made("SFT on own right answers, labels", "rejection-sft", "SFT"),
            _made("SRLM", "srlm", "SRLM"),
            _made("LMSI", "lmsi", "LMSI"),
            _made("Genixer", "genixer", "Genixer"),
            _made("STIC", "stic", "STIC"),
            _made("MM-UPT", "upt", "MM-UPT"),
            Row("mmupt's default (not in the paper)", "upt-default", "start", _NONE),
        ),
    ),
    Table(
        "2",
        "Table 2: questions that the model writes",
        "The tiny model was taught to ask in its sft, and is asked in the words it has learned. In context it is shown "
        "another question and, unlike the paper's, no answer to it. Written questions are filtered (docs/synth.md).",
        paper.TRAINING_SETS,
        (
            Row("start", "start", None, _START),
            _made("original questions", "upt", "MM-UPT"),
            _made("in-context", "in-context", "MM-UPT, in-context"),
            _made("direct", "direct", "MM-UPT, direct"),
        ),
    ),
    Table(
        "3",
        "Table 3: other start models",
        "For the smaller model stands a start with half the sft; for models that were trained by reinforcement with "
        "labels before (MM-Eureka, ThinkLite) the model that GRPO with labels has made.",
        ("paper, the same role", "Geometry3K"),
        (
            Row("weak start", "weak", None, ("Qwen2.5-VL-3B", _WEAK)),
            Row("weak start, MM-UPT", "upt-weak", "weak", ("Qwen2.5-VL-3B, MM-UPT", _WEAK_UPT)),
            Row("start after GRPO", "grpo", None, ("MM-Eureka-7B, ThinkLite-VL-7B", f"{_EUREKA}, {_THINKLITE}")),
            Row(
                "start after GRPO, MM-UPT",
                "upt-after-grpo",
                "grpo",
                ("both, MM-UPT", f"{_EUREKA_UPT}, {_THINKLITE_UPT}"),
            ),
        ),
    ),
    Table(
        "4",
        "Table 4: a set on which the model is usually wrong",
        "The weak start learns from totals alone, which its majority mostly gets wrong, and all kinds of questions are "
        "measured. The first two with the steps and the rate of table 1; the last two with 150 steps at 1e-4, the "
        "setting of docs/stability.md. Both are shown because the setting decides how much harm is done.",
        ("ThinkLite-11K",),
        (
            Row("weak start", "weak", None, (_HARD,)),
            Row("MM-UPT on the hard set", "hard", "weak", (_HARD_UPT,)),
            Row("the same with the guard", "hard-guarded", "weak", ("",)),
            Row("MM-UPT on the hard set, long", "hard-long", "weak", ("",)),
            Row("the same with the guard", "hard-long-guarded", "weak", ("",)),
        ),
    ),
    Table(
        "5",
        "Table 5: pass@10",
        "Right in at least one of ten samples, at temperature 1.",
        ("mean of four benchmarks",),
        (
            Row("start", "start", None, (f"{paper.PASS_AT_10['start']:.2f}",)),
            Row("MM-UPT", "upt", "start", (f"{paper.PASS_AT_10['MM-UPT']:.2f}",)),
            Row("MM-UPT, 150 steps at 1e-4", "upt-long", "start", ("",)),
            Row("GRPO, labels", "grpo", "start", (f"{paper.PASS_AT_10['GRPO']:.2f}",)),
            Row("mmupt's default (not in the paper)", "upt-default", "start", ("",)),
        ),
        figures=("pass", "mean"),
    ),
    Table(
        "6",
        "Table 6: other kinds of questions than those trained on",
        "A start that was taught dice, charts and icons learns without labels from dice alone.",
        ("paper, the same role", "accuracy"),
        (
            Row("charts, start", "families-charts", None, ("ChartQA", _CHART)),
            Row("charts, MM-UPT", "upt-families-charts", "families-charts", ("ChartQA, MM-UPT", _CHART_UPT)),
            Row("icons, start", "families-icons", None, ("IconQA", _ICON)),
            Row("icons, MM-UPT", "upt-families-icons", "families-icons", ("IconQA, MM-UPT", _ICON_UPT)),
            Row("dice, start", "families", None, ("", "")),
            Row("dice, MM-UPT", "upt-families", "families", ("", "")),
        ),
    ),
    Table(
        "loop",
        "Three closed rounds on pictures without any question",
        "Not in the paper. Each round the model writes questions about the same pictures, and learns from them with "
        "mmupt's default reward under a guard that holds every round against the first start.",
        (),
        (
            Row("start", "start", None, ()),
            *(Row(f"round {n}", f"loop:upt-{n}", "start", ()) for n in (1, 2, 3)),
        ),
    ),
)
TABLES: Mapping[str, Table] = {table.key: table for table in _ALL}

FIGURE = "figure2"
"""What `--table` calls the figure; it is drawn from the run that keeps its curves."""
FIGURE_RUN = "upt"

CHOICES: tuple[str, ...] = (*TABLES, FIGURE)


def runs_of(key: str) -> tuple[str, ...]:
    """The runs that a table, or the figure, is made of."""
    return (FIGURE_RUN,) if key == FIGURE else TABLES[key].runs

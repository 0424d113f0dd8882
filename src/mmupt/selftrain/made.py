"""What every stage that makes rows does: hear the model part by part, make rows of what was heard, count, write."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mmupt.data.writer import write_jsonl
from mmupt.errors import DataError, RunFolderError
from mmupt.runtime.files import write_json, writing
from mmupt.selftrain.advice import advice
from mmupt.selftrain.heard import Heard
from mmupt.selftrain.parts import Ask, collect
from mmupt.selftrain.settings import PairsStage, TargetsStage
from mmupt.train.context import StageContext
from mmupt.types import LabeledPrompt, PreferencePair, Prompt

SPLIT = "train"


@dataclass(frozen=True, slots=True)
class MadeReport:
    """What came of a stage; `file` is below the run folder. `refused` counts prompts that were not asked, by reason;
    `left_out` counts, by reason, responses (targets) or what prompts did not bring (pairs). `figures` are means over
    the rows of what their rule found (`share`, `p_yes`, `best`, `worst`), and the mean `score` of all responses where
    they were judged."""

    stage: str
    kind: str
    rule: str
    file: str
    prompts: int
    responses: int
    rows: int
    prompts_used: int
    refused: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)

    def summary(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)

    def in_words(self) -> str:
        """One line: what was made of what, and what was left out."""
        made = f"{self.rows} rows from {self.prompts_used} of {self.prompts} prompts, {self.responses} responses"
        lost = [f"{count} {why}" for why, count in _by_size(self.refused) + _by_size(self.left_out)]
        return made + (f"; left out: {', '.join(lost)}" if lost else "")


Row = LabeledPrompt | PreferencePair


@dataclass(frozen=True, slots=True)
class FromPrompt:
    """The rows that one prompt has brought, why each (in the same order), and what was left out of it."""

    rows: Sequence[Row]
    why: Sequence[Mapping[str, float | str]]
    left_out: Mapping[str, int]

    def without(self, reserved: Sequence[str]) -> FromPrompt:
        """Without rows whose texts spell one of the `reserved` ones, which no stage could learn from."""
        spells = [any(token in text for text in _texts(row) for token in reserved) for row in self.rows]
        if not any(spells):
            return self
        kept = [i for i, bad in enumerate(spells) if not bad]
        left_out = {**self.left_out, "spells a reserved token": sum(spells)}
        return FromPrompt([self.rows[i] for i in kept], [self.why[i] for i in kept], left_out)


def make(
    stage: TargetsStage | PairsStage,
    rule: str,
    prompts: Sequence[Prompt],
    ask: Ask,
    rows_of: Callable[[Heard], FromPrompt],
    context: StageContext,
    *,
    reserved: Sequence[str],
    passed_over: Mapping[str, int] | None = None,
) -> MadeReport:
    """Fills the folder `context.run.made(stage)`: `train.jsonl` with its pictures, and `report.json`. What was made
    before an interruption is taken over; a stage that has finished is not made again. `reserved` are texts that no row
    may hold; `passed_over` counts, by reason, prompts of the data that are not among `prompts`.

    Raises DataError where not one row comes of it, and what `ask` raises.
    """
    folder = context.run.made(context.stage)
    file, report_file, parts = folder / f"{SPLIT}.jsonl", folder / "report.json", folder / "parts"
    if file.exists():  # written last
        shutil.rmtree(parts, ignore_errors=True)
        return _read_report(report_file)
    heard = collect(prompts, ask, stage.rollout.prompts_at_once, parts, context.progress, context.stage)
    made = [rows_of(said).without(reserved) for said in heard if said.refused is None]
    refused = Counter(said.refused for said in heard if said.refused is not None)
    report = MadeReport(
        stage=context.stage,
        kind=stage.kind,
        rule=rule,
        file=file.relative_to(context.run.root).as_posix(),
        prompts=len(prompts) + sum((passed_over or {}).values()),
        responses=sum(len(said.responses) for said in heard),
        rows=sum(len(one.rows) for one in made),
        prompts_used=sum(bool(one.rows) for one in made),
        refused=dict(_by_size(refused + Counter(passed_over or {}))),
        left_out=dict(_by_size(sum((Counter(one.left_out) for one in made), Counter()))),
        figures=_figures(heard, made),
    )
    if not report.rows:
        raise DataError(_nothing(report))
    write_json(report_file, report.summary())
    with writing(folder):
        write_jsonl(folder, SPLIT, (row for one in made for row in one.rows))
    shutil.rmtree(parts, ignore_errors=True)
    context.progress.note(f"{context.stage}: {report.in_words()}")
    return report


def _texts(row: Row) -> tuple[str, ...]:
    return (row.chosen, row.rejected) if isinstance(row, PreferencePair) else (row.solution or "",)


def _figures(heard: Sequence[Heard], made: Sequence[FromPrompt]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for said in heard:
        values.setdefault("score", []).extend(score for score in said.scores or () if score is not None)
    for why in (why for one in made for why in one.why):
        for name, value in why.items():
            if not isinstance(value, str):
                values.setdefault(name, []).append(value)
    return {name: sum(found) / len(found) for name, found in values.items() if found}


def _nothing(report: MadeReport) -> str:
    """What was counted, and what would help against the most frequent reason."""
    reasons = (Counter(report.left_out) + Counter(report.refused)).most_common(1)
    return (
        f'stages.{report.stage}: not one row came of {report.prompts} prompts under the rule "{report.rule}" '
        f"({report.in_words()}). {advice(reasons[0][0] if reasons else '')}"
    )


def _by_size(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _read_report(file: Path) -> MadeReport:
    try:
        return MadeReport(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RunFolderError(
            f"{file}: damaged or missing ({error}); remove its folder to make the rows again"
        ) from error

"""What came of a stage that wrote questions: how many were written, how many kept, and what became of the others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmupt.errors import RunFolderError
from mmupt.synth.candidates import Written
from mmupt.synth.filters import ADVICE, MEANING, REASONS, Reason
from mmupt.synth.settings import SynthStage


@dataclass(frozen=True, slots=True)
class SynthReport:
    """`subjects` pictures (with what stands together counted once) were asked about in `asked` prompts; `passed_over`
    counts those that could not be asked, by why. Of `written` responses `kept` are in the data set; `dropped` counts
    the others by the first reason that applied, in the order in which reasons are asked. `share` is the mean majority
    share of those kept, 0.0 without any.
    """

    stage: str
    mode: str
    model: str
    seed: int
    template: str
    subjects: int
    asked: int
    passed_over: Mapping[str, int]
    written: int
    kept: int
    with_questions: int
    dropped: Mapping[Reason, int]
    share: float

    @classmethod
    def of(cls, stage: SynthStage, written: Sequence[Written], *, model: str, seed: int) -> SynthReport:
        candidates = [candidate for each in written for candidate in each.candidates]
        kept = [candidate for candidate in candidates if candidate.dropped is None]
        dropped = Counter(candidate.dropped for candidate in candidates)
        return cls(
            stage=stage.name,
            mode=stage.mode,
            model=model,
            seed=seed,
            template=stage.template,
            subjects=len(written),
            asked=len({candidate.source for candidate in candidates}),
            passed_over=dict(Counter(why for each in written for why in each.passed_over.values())),
            written=len(candidates),
            kept=len(kept),
            with_questions=sum(bool(each.kept) for each in written),
            dropped={reason: dropped[reason] for reason in REASONS},
            share=sum(candidate.share or 0.0 for candidate in kept) / len(kept) if kept else 0.0,
        )

    @classmethod
    def read(cls, path: Path) -> SynthReport:
        """Raises RunFolderError where the file is damaged."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise RunFolderError(f"{path}: damaged ({error}); write the questions anew") from error

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def metrics(self) -> dict[str, float]:
        """Numbers for `metrics.jsonl`; `dropped/<reason>` are counts."""
        return {
            "subjects": self.subjects,
            "asked": self.asked,
            "passed_over": sum(self.passed_over.values()),
            "written": self.written,
            "kept": self.kept,
            "share": self.share,
            **{f"dropped/{reason}": count for reason, count in self.dropped.items()},
        }

    @property
    def reasons(self) -> list[tuple[Reason, int]]:
        """Why questions were dropped, those that applied at all, the most frequent first."""
        return sorted(((r, n) for r, n in self.dropped.items() if n), key=lambda found: -found[1])

    @property
    def in_words(self) -> str:
        """ "12 of 96 written questions kept, about 10 of 24 pictures; dropped: 50 unparsable, 34 trivial"."""
        dropped = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in self.reasons)
        return (
            f"{self.kept} of {self.written} written questions kept, about {self.with_questions} of {self.subjects} "
            f"pictures" + (f"; dropped: {dropped}" if dropped else "")
        )

    @property
    def advice(self) -> list[str]:
        """What to do about the three reasons that cost most, a sentence each: "40 trivial (...): ..."."""
        if not self.written:
            why = max(self.passed_over, key=lambda reason: self.passed_over[reason], default="there are no pictures")
            return [f"nothing could be asked; mostly: {why}"]
        return [
            f"{count} {reason.replace('_', ' ')} ({MEANING[reason]}): {ADVICE[reason]}"
            for reason, count in self.reasons[:3]
        ]

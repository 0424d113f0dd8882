"""The stage that writes questions, from pictures to a data set, in a folder of its own:

train.jsonl, images/    the questions that are kept, as any data set; written last: with it the stage is done
candidates.parquet      every response, the question in it, the answers to it, and why it is not kept
report.json             how many there are of what
page.html               the same to look at
parts/                  what an unfinished stage has so far, some pictures a file
begun.txt               a hash of what decides what is written, so that nothing else is put into the same folder
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmupt.data.writer import write_jsonl
from mmupt.engines.base import Engine
from mmupt.errors import DataError, RunFolderError
from mmupt.models.encoding import PromptEncoder
from mmupt.runtime.files import to_json, write_json, write_text, writing
from mmupt.runtime.metrics import MetricsLog
from mmupt.runtime.progress import Progress
from mmupt.synth.candidates import Candidate, Written, read_candidates, write_candidates
from mmupt.synth.page import write_page
from mmupt.synth.report import SynthReport
from mmupt.synth.settings import SynthStage
from mmupt.synth.subjects import Subject, subjects
from mmupt.synth.writing import Writer, question_of
from mmupt.types import LabeledPrompt, Prompt

SPLIT = "train"


@dataclass(frozen=True, slots=True)
class SynthFolder:
    """The paths of a stage's folder, whether or not they exist."""

    root: Path

    @property
    def rows(self) -> Path:
        return self.root / f"{SPLIT}.jsonl"

    @property
    def candidates(self) -> Path:
        return self.root / "candidates.parquet"

    @property
    def report(self) -> Path:
        return self.root / "report.json"

    @property
    def page(self) -> Path:
        return self.root / "page.html"

    @property
    def parts(self) -> Path:
        return self.root / "parts"

    @property
    def begun(self) -> Path:
        return self.root / "begun.txt"


def write_questions(
    stage: SynthStage,
    rows: Sequence[Prompt] | Sequence[LabeledPrompt],
    encoder: PromptEncoder,
    engine: Engine,
    folder: Path,
    *,
    model: str,
    seed: int,
    progress: Progress,
    metrics: MetricsLog | None = None,
) -> SynthReport:
    """Write questions about the pictures of `rows` into `folder`, as `stage` says, and report.

    `rows` are prompts (`load_pictures`, for mode "direct", gives pictures without questions as well); labeled ones are
    needed, and their labels looked at, with `answer_from` "gold" alone. `encoder` is that of `stage.prompt`. What an
    earlier call with the same arguments has put into `folder` is taken over, so that a killed stage writes the same
    questions as one that was left alone, and a finished one is only read. `model` is the model's name, for provenance.

    Raises DataError where nothing at all can be kept (with counts and advice; all but the data set is written then) and
    where a picture cannot be read; RunFolderError where `folder` holds what was written with other arguments.
    """
    labels = (
        {row.prompt.id: row.answer for row in rows if isinstance(row, LabeledPrompt)}
        if stage.reads == "labels"
        else None
    )
    if labels is not None and not labels:
        raise DataError('answer_from "gold" needs rows with answers; bring them, or use answer_from = "majority"')
    prompts = [row.prompt if isinstance(row, LabeledPrompt) else row for row in rows]
    about = subjects(prompts)
    place = SynthFolder(folder)
    _claim(place, _fingerprint(stage, rows, labels is not None, model, seed))
    if place.rows.exists():
        progress.note(f"{stage.name}: done before")
        shutil.rmtree(place.parts, ignore_errors=True)
        return SynthReport.read(place.report)
    written = _in_parts(Writer(stage, encoder, engine, seed, labels), about, place, progress)
    report = SynthReport.of(stage, written, model=model, seed=seed)
    write_candidates(place.candidates, written)
    write_json(place.report, report.as_json())
    write_page(place.candidates, report, place.page)
    if metrics is not None:
        metrics.append({"stage": stage.name, "kind": stage.kind, "step": 1, **report.metrics()})
    if not report.kept:
        advice = "\n".join(f"  - {line}" for line in report.advice)
        raise DataError(f"{stage.name}: no question can be handed on: {report.in_words}. See {place.page}.\n{advice}")
    _hand_on(stage, written, report, place)
    shutil.rmtree(place.parts, ignore_errors=True)
    return report


def _in_parts(writer: Writer, about: Sequence[Subject], place: SynthFolder, progress: Progress) -> list[Written]:
    """All that was written, `rollout.prompts_at_once` subjects a part; parts that are there already are read."""
    size = writer.stage.rollout.prompts_at_once
    progress.stage(f"{writer.stage.name} (writing questions)", len(about))
    written: list[Written] = []
    for start in range(0, len(about), size):
        part = about[start : start + size]
        file = place.parts / f"{start:06d}.parquet"
        if file.exists():
            written += read_candidates(file, part)
        else:
            fresh = writer.write(part)
            write_candidates(file, fresh)
            written += fresh
        progress.advance(min(start + size, len(about)), len(about))
    return written


def _hand_on(stage: SynthStage, written: Sequence[Written], report: SynthReport, place: SynthFolder) -> None:
    """The data set. Rows have no answer, because nobody knows one; what the model said stands in `meta`, which no
    label-free stage reads."""
    kept = [(each.subject, candidate) for each in written for candidate in each.kept]
    with writing(place.rows):
        write_jsonl(
            place.root,
            SPLIT,
            (question_of(subject, candidate) for subject, candidate in kept),
            meta={candidate.id: _provenance(stage, candidate, report) for _, candidate in kept},
        )


def _provenance(stage: SynthStage, candidate: Candidate, report: SynthReport) -> dict[str, object]:
    return {
        "source": candidate.source,
        "written_by": report.model,
        "mode": stage.mode,
        "prompt": report.template,
        "shown_answer": candidate.given,
        "seed": candidate.seed,
        "majority": candidate.majority,
        "share": candidate.share,
    }


def _claim(place: SynthFolder, fingerprint: str) -> None:
    """The folder belongs to one set of arguments."""
    if not place.begun.exists():
        if place.rows.exists():
            raise RunFolderError(f"{place.rows} exists and was not written by such a stage; choose another folder")
        write_text(place.begun, fingerprint + "\n")
    elif place.begun.read_text(encoding="utf-8").strip() != fingerprint:
        raise RunFolderError(
            f"{place.root}: holds questions written with other settings, data, seed or model; choose another folder, "
            "or delete this one to write them anew"
        )


def _fingerprint(
    stage: SynthStage, rows: Sequence[Prompt] | Sequence[LabeledPrompt], labels: bool, model: str, seed: int
) -> str:
    """A hash of all that decides what is written, but for the weights and the pixels."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(to_json([stage.model_dump(mode="json"), model, seed]).encode("ascii"))
    for row in rows:
        prompt = row.prompt if isinstance(row, LabeledPrompt) else row
        answer = row.answer if labels and isinstance(row, LabeledPrompt) else None
        images = [
            image.path or hashlib.blake2b(image.data or b"", digest_size=16).hexdigest() for image in prompt.images
        ]
        digest.update(to_json([prompt.id, prompt.question, list(prompt.choices or ()), images, answer]).encode("ascii"))
    return digest.hexdigest()

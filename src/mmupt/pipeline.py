"""A recipe's stages, one after another: the model of one stage feeds the next."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TextIO

from mmupt.data.settings import ReadingStage
from mmupt.engines.base import Engine
from mmupt.engines.choice import Engines
from mmupt.engines.divided import led
from mmupt.errors import MmuptError, RunFolderError
from mmupt.evals.records import write_records
from mmupt.evals.results import results_table
from mmupt.evals.runner import Evaluation, Places, evaluate
from mmupt.evals.sets import EvaluationSet
from mmupt.evals.settings import EvaluationSettings
from mmupt.export.source import trained_model
from mmupt.models.encoding import PromptEncoder
from mmupt.models.loading import LoadedModel, load_model, model_fingerprint
from mmupt.models.lora import attach_adapter, merge_adapter
from mmupt.models.shards import load_shards
from mmupt.preflight import Preflight, load_made_rows, preflight
from mmupt.recipe import Recipe, dump_recipe
from mmupt.recipe.kinds import MakingStage
from mmupt.report.guard import in_brief
from mmupt.report.report import lines_to_tell, write_report
from mmupt.rewards.own.recorded import record_own
from mmupt.runtime.checkpoints import latest_checkpoint, load_state
from mmupt.runtime.device import device_name
from mmupt.runtime.files import write_json, writing
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.metrics import MetricsLog
from mmupt.runtime.phases import PhaseClock
from mmupt.runtime.processes import ALONE, Processes
from mmupt.runtime.progress import Progress
from mmupt.runtime.run_folder import RunFolder
from mmupt.runtime.saving import Saving
from mmupt.runtime.sinks.log import check_sinks, open_log
from mmupt.runtime.sinks.settings import SinkSettings
from mmupt.runtime.stopping import Stopping
from mmupt.sources import WORLD
from mmupt.stages.kinds import MAKING, TRAINING
from mmupt.stages.work import Work, stage_seed
from mmupt.synth.settings import SynthStage
from mmupt.train.context import StageContext
from mmupt.train.settings import EvalStage, GrpoStage, TrainingStage

START = "base"
"""How results name the model before the first stage."""


def run_recipe(
    recipe: Recipe,
    *,
    resume: bool = False,
    overwrite: bool = False,
    rehearsal: PhaseClock | None = None,
    processes: Processes = ALONE,
    stopping: Stopping | None = None,
) -> Path:
    """Run every stage of `recipe` in its run folder, which is returned.

    What can be checked is checked before the folder is made. With `resume`, finished stages and measurements are taken
    over and the stage that was interrupted goes on from its last checkpoint. `overwrite` removes an earlier run first.
    A `rehearsal` is run for its metrics alone, timed by the clock given: it keeps no model and writes no report.

    Where several `processes` run, all of them call this. The first one holds the run folder, writes and talks; the
    others see the folder, and what they would say goes nowhere.

    Raises Stopped where `stopping` was asked to end the run: behind the step and its checkpoint, or else at once.
    """
    root = Path(recipe.run_dir or f"runs/{recipe.name}")
    sinks = recipe.sinks if rehearsal is None and processes.main else None
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(None if processes.main else _nowhere(stack)))
        progress.note(f"{recipe.name}: checking model and data")
        processes.each(lambda: check_sinks(sinks))
        ready = processes.each(lambda: stack.enter_context(preflight(recipe, processes)))
        processes.first(lambda: _hold(stack, _run_folder(recipe, root, resume, overwrite)))
        run = RunLayout(root)
        _seen_by_all(run, processes)
        metrics = stack.enter_context(_log(recipe, run, sinks, progress) if processes.main else _no_log())
        Pipeline(recipe, ready, run, metrics, progress, rehearsal, processes, stopping or Stopping()).run()
    return root


def _run_folder(recipe: Recipe, root: Path, resume: bool, overwrite: bool) -> RunFolder:
    text = dump_recipe(recipe)
    if overwrite and not resume and root.exists():
        RunFolder.remove(root)
    return RunFolder.resume(root, text) if resume else RunFolder.create(root, text, recipe.seed)


def _hold(stack: ExitStack, folder: RunFolder) -> None:
    stack.enter_context(folder)


def _seen_by_all(run: RunLayout, processes: Processes) -> None:
    """RunFolderError where a process is on a machine that has another folder of this name, or none."""
    written = processes.first(lambda: run.run.read_text(encoding="utf-8"))

    def look() -> None:
        if not run.run.exists() or run.run.read_text(encoding="utf-8") != written:
            raise RunFolderError(
                f"{run.root}: is not the run folder of rank 0 as seen from {socket.gethostname()}; put it on a file "
                "system that all nodes share"
            )

    processes.each(look)


def _log(recipe: Recipe, run: RunLayout, sinks: SinkSettings | None, progress: Progress) -> MetricsLog:
    """The log of the process that holds the run folder, and on record what code of the user's rewards from here on."""
    record_own(recipe, run.run, progress.note)
    return open_log(sinks, run, recipe.name, recipe.model_dump(mode="json"), progress.note)


def _no_log() -> MetricsLog:
    return MetricsLog(Path(os.devnull))


def _nowhere(stack: ExitStack) -> TextIO:
    return stack.enter_context(open(os.devnull, "w", encoding="utf-8"))


@dataclass(slots=True)
class Pipeline:
    """One run. `model_path` is the newest model on the disk, `loaded` the same in memory once somebody needs it. All
    `processes` go through the stages side by side; what is read off the run folder to decide what comes next, the first
    one reads for all."""

    recipe: Recipe
    ready: Preflight
    folder: RunLayout
    metrics: MetricsLog
    progress: Progress
    rehearsal: PhaseClock | None = None
    processes: Processes = ALONE
    stopping: Stopping = field(default_factory=Stopping)
    model_path: str = field(init=False)
    loaded: LoadedModel | None = field(default=None, init=False)
    results: list[dict[str, object]] = field(default_factory=list, init=False)
    _earlier_seconds: float = field(default=0.0, init=False)
    _began: float = field(default_factory=time.perf_counter, init=False)
    _engines: Engines = field(init=False)

    def __post_init__(self) -> None:
        self._engines = Engines(self.processes)

    def run(self) -> None:
        """All stages, then summary and report, which are written also when something stops the run."""
        self.model_path = self.processes.first(self._start_model)
        self.processes.first(self._check_model_of_run)
        self._earlier_seconds = self.processes.first(lambda: _seconds_so_far(self.folder))
        for name, count in self.ready.skipped.items():
            self.progress.note(f'{name}: {count} rows cannot be used and are left out (bad_rows = "skip")')
        try:
            self._run_stages()
        except MmuptError:
            with suppress(RunFolderError):  # of a full disk this error tells
                self._close()
            raise
        finally:
            self._engines.close()
        self._close()

    def _run_stages(self) -> None:
        evaluation = self.recipe.evaluation
        if evaluation is not None and evaluation.start:
            self._measure(START, evaluation)
        for stage in self.recipe.stages:
            self.stopping.ends_here(self.processes)
            if isinstance(stage, EvalStage):
                assert evaluation is not None, "a recipe with an eval stage has an [evaluation] table"
                self._measure(stage.name, evaluation)
                continue
            if self.processes.first(partial(self._ended, stage)):
                self.progress.note(f"{stage.name}: left out, as the guard has ended the stage that it follows")
                continue
            if stage.data.maker is not None:
                load_made_rows(stage, self.recipe, self._model().family, self.ready, self.folder)
            if isinstance(stage, MakingStage):
                self._make(stage)
                continue
            self._train(stage)
            if evaluation is not None and evaluation.every_stage:
                self._measure(stage.name, evaluation)

    def _make(self, stage: MakingStage) -> None:
        """Rows for a later stage, by the model as it is now, unless they were made before the run was interrupted."""
        if not (self.folder.made(stage.name) / "train.jsonl").exists():
            self.metrics.truncate_after(stage.name, 0, [s.name for s in self.recipe.stages])
        self.progress.note(f"{stage.name}: {_what(stage, self.ready)}")
        work = self._work(stage, self._model(), None)
        longest = stage.writing.max_new_tokens if isinstance(stage, SynthStage) else 0
        engine = work.engines.of(stage.rollout, stage.prompt, work.context.clock, longest)(work.model)
        with work.model.whole():  # the first process alone may ask it for more than samples
            led(self.processes, engine, lambda lent: MAKING[stage.kind](stage, work.leading(lent)))

    def _train(self, stage: TrainingStage) -> None:
        """Train, and hand the result on through the disk, unless that was done before the run was interrupted."""
        checkpoint = self.processes.first(lambda: latest_checkpoint(self.folder.checkpoints(stage.name)))
        state = load_state(checkpoint) if checkpoint is not None else {}
        if checkpoint is not None and state.get("finished"):
            self.model_path, self.loaded = str(checkpoint), None
            self.progress.note(f"{stage.name}: done before")
            return
        step = int(str(state.get("step", 0)))
        self.metrics.truncate_after(stage.name, step, [s.name for s in self.recipe.stages])
        self.progress.note(f"{stage.name}: {_what(stage, self.ready)}" + (f", on from step {step}" if step else ""))
        settings = self.recipe.model
        if settings.lora is not None:
            model = attach_adapter(self._model(), settings.lora, stage_seed(self.recipe, stage.name))
        elif checkpoint is not None:
            model = self._load(str(checkpoint))
        else:
            model = self._model()
        if model.shards is not None:
            self.loaded = None  # under LoRA, or behind a checkpoint, these are other shards
        with Saving(background=stage.checkpoints.background and self.processes.size == 1) as saving:
            work = self._work(stage, model, checkpoint)
            work = replace(work, context=replace(work.context, checkpoints=stage.checkpoints, saving=saving))
            steps = TRAINING[stage.kind](stage, work)
        if self.rehearsal is not None:
            return
        if settings.lora is not None:
            model = merge_adapter(model)
        self.loaded = model
        self.model_path = str(work.context.save_result(steps, model))
        self.stopping.ends_here(self.processes)

    def _work(self, stage: ReadingStage, model: LoadedModel, resumed: Path | None) -> Work:
        """`resumed` is the checkpoint inside the stage to go on from."""
        context = StageContext(
            self.folder,
            self.metrics,
            self.progress,
            stage.name,
            stage_seed(self.recipe, stage.name),
            resumed,
            self.rehearsal or PhaseClock(),
            self.processes,
            self.stopping,
        )
        again = partial(self._read_again, self.model_path)
        return Work(
            self.recipe, self.ready, context, model, self.model_path, again, self._engines, self.rehearsal is not None
        )

    def _ended(self, stage: ReadingStage) -> bool:
        """Whether the guard of a stage that this one follows has ended it, so that this one does not begin; and rows
        are not made for such stages alone."""
        if isinstance(stage, MakingStage):
            readers = [s for s in self.recipe.stages if isinstance(s, ReadingStage) and s.data.maker == stage.name]
            return bool(readers) and all(self._ended(reader) for reader in readers)
        if not isinstance(stage, GrpoStage) or stage.guard.follows is None:
            return False
        followed = next(s for s in self.recipe.stages if s.name == stage.guard.follows)
        assert isinstance(followed, GrpoStage), "a recipe's guards follow label-free stages"
        left = self.folder.guard_legacy(followed.name)
        if not left.exists():
            return self._ended(followed)
        return bool(json.loads(left.read_text(encoding="utf-8"))["guard"]["ended"])

    def _read_again(self, path: str) -> LoadedModel:
        """The start of a stage, to be asked, not trained. Collective where it is sharded."""
        if self._is_sharded:
            return self._load_shards(path, frozen=True)
        return load_model(path, self.recipe.model, self.ready.device)

    def _measure(self, stage: str, settings: EvaluationSettings) -> None:
        """The model as it is now, on every set; what was measured before the run was interrupted is taken over."""
        for questions in self.ready.sets:
            name = questions.measurement(stage)
            kept = self.processes.first(partial(_read_if_there, self.folder.eval_json(name)))
            if kept is not None:
                self.results.append(kept)
                self.metrics.measured(kept)
                continue
            engine = self._engines.hf(self._model(), settings.prompts_at_once, PhaseClock())
            with self._model().whole():
                led(self.processes, engine, partial(self._evaluate, stage, questions, settings))

    def _evaluate(self, stage: str, questions: EvaluationSet, settings: EvaluationSettings, engine: Engine) -> None:
        name = questions.measurement(stage)
        result = evaluate(
            stage,
            questions,
            PromptEncoder(self._model().family, settings.prompt),
            engine,
            settings,
            seed=self.recipe.seed,
            progress=self.progress,
            places=Places(self.folder.eval_parts(name), self.folder.eval_judge(name)),
        )
        self.results.append(result.summary())
        self._keep(result)
        self.metrics.measured(self.results[-1])
        self._write_summary()
        figures = "  ".join(f"{figure} {e.value:.3f}" for figure, e in result.figures.items())
        self.progress.note(f"{name}: {figures}  unreadable {result.unreadable:.0%}")

    def _keep(self, result: Evaluation) -> None:
        write_records(self.folder.eval_parquet(result.name), result.set.name, result.questions)
        write_json(self.folder.eval_json(result.name), result.summary())  # with it the measurement counts as done
        shutil.rmtree(self.folder.eval_parts(result.name), ignore_errors=True)

    def _model(self) -> LoadedModel:
        if self.loaded is None:
            self.loaded = self._load(self.model_path)
        return self.loaded

    def _load(self, path: str) -> LoadedModel:
        """Collective: what one process cannot read, no other one need read."""
        if self._is_sharded:
            return self._load_shards(path)
        return self.processes.each(lambda: load_model(path, self.recipe.model, self.ready.device))

    def _load_shards(self, path: str, *, frozen: bool = False) -> LoadedModel:
        how = self.recipe.processes
        return load_shards(path, self.recipe.model, self.ready.device, self.processes, how, frozen=frozen)

    @property
    def _is_sharded(self) -> bool:
        return self.processes.size > 1 and self.recipe.processes.layout == "sharded"

    def _start_model(self) -> str:
        """The world's model belongs to the run: it is kept in the run folder, built once."""
        if not self.recipe.model.path.startswith(WORLD):
            return self.ready.model_path
        kept = self.folder.root / "start"
        if not kept.exists():
            partial = self.folder.root / "start.tmp"
            shutil.rmtree(partial, ignore_errors=True)
            with writing(kept):
                shutil.copytree(self.ready.model_path, partial)
                partial.rename(kept)
        return str(kept)

    def _check_model_of_run(self) -> None:
        """A run is about one model: the one it began with is remembered, and a resumed run must find it again."""
        fingerprint = model_fingerprint(self.model_path, self.recipe.model)
        file = self.folder.root / "model.json"
        if not file.exists():
            write_json(file, {"fingerprint": fingerprint, "path": self.recipe.model.path})
        elif json.loads(file.read_text(encoding="utf-8"))["fingerprint"] != fingerprint:
            raise RunFolderError(
                f"{self.folder.root}: began with another model than {self.recipe.model.path} is now (other sizes or "
                "another tokenizer); bring the first one back, or start a new run"
            )

    def _write_summary(self) -> None:
        seconds = self._earlier_seconds + time.perf_counter() - self._began
        summary = {"name": self.recipe.name, "seed": self.recipe.seed, "seconds": round(seconds, 1)}
        guard = in_brief(self.folder, [stage.name for stage in self.recipe.stages])
        summary["device"] = device_name(self.ready.device)
        found = {"stages": self.results, "skipped": self.ready.skipped, "guard": guard}
        write_json(self.folder.summary, {**summary, **found})

    def _close(self) -> None:
        """Summary, report, and in the terminal the same results and warnings as in the report."""
        if self.rehearsal is not None or not self.processes.main:
            return
        self._write_summary()
        self._show_results()
        try:
            report = write_report(self.folder.root)
            for line in lines_to_tell(self.folder.root):
                self.progress.note(line)
            if (model := trained_model(self.folder.root)) is not None:
                self.progress.note(f"model: {model}")
            self.progress.note(f"report: {report}")
        except Exception as error:  # a fault of the page must hide neither the results nor what stopped the run
            self.progress.note(f"the report could not be written ({type(error).__name__}: {error}); please report this")

    def _show_results(self) -> None:
        """A table a set with a row for each model, or one table of all sets where there is one model only."""
        stages = dict.fromkeys(str(r["stage"]) for r in self.results)
        sets = dict.fromkeys(str(r["set"]) for r in self.results)
        if len(stages) == 1 and len(sets) > 1:
            self.progress.table("accuracy", *results_table("benchmark", "set", self.results))
            return
        for name in sets:
            rows = [r for r in self.results if r["set"] == name]
            self.progress.table(
                f"accuracy on {rows[0]['n']} questions of {name}", *results_table("model", "stage", rows)
            )


def _what(stage: ReadingStage, ready: Preflight) -> str:
    if stage.reads == "pairs":
        count, kind = len(ready.pairs[stage.name].rows), "pairs of responses"
    elif stage.reads == "labels":
        count, kind = len(ready.labeled[stage.name].rows), "labeled questions"
    else:
        kind = "questions without labels" if stage.reads == "prompts" else "rows with pictures"
        count = len(ready.blind[stage.name].rows)
    return f"{count} {kind} from {stage.data.path}"


def _read_if_there(file: Path) -> dict[str, object] | None:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def _seconds_so_far(folder: RunLayout) -> float:
    if not folder.summary.exists():
        return 0.0
    return float(json.loads(folder.summary.read_text(encoding="utf-8"))["seconds"])

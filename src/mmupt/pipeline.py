"""A recipe's stages, one after another: the model of one stage feeds the next."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from torch import nn

from mmupt.engines.choice import Engines
from mmupt.engines.hf import HFEngine
from mmupt.errors import MmuptError, RunFolderError
from mmupt.evals.records import write_records
from mmupt.evals.results import results_table
from mmupt.evals.runner import Evaluation, Places, evaluate
from mmupt.evals.sets import EvaluationSet
from mmupt.evals.settings import EvaluationSettings
from mmupt.guard.guard import Guard
from mmupt.guard.watch import Watch, hold_out
from mmupt.models.encoding import PromptEncoder
from mmupt.models.loading import LoadedModel, load_model, model_fingerprint
from mmupt.models.lora import attach_adapter, merge_adapter
from mmupt.models.start import StartModel
from mmupt.preflight import WORLD_MODEL, Preflight, preflight
from mmupt.recipe import Recipe, dump_recipe
from mmupt.report.guard import in_brief
from mmupt.report.report import lines_to_tell, write_report
from mmupt.rewards.registry import build_reward
from mmupt.rewards.tools import Tools
from mmupt.runtime.checkpoints import latest_checkpoint, load_state
from mmupt.runtime.files import write_json
from mmupt.runtime.metrics import MetricsLog
from mmupt.runtime.phases import PhaseClock
from mmupt.runtime.progress import Progress
from mmupt.runtime.run_folder import RunFolder
from mmupt.runtime.seeds import derive_seed
from mmupt.train.context import StageContext
from mmupt.train.grpo import train_grpo
from mmupt.train.guarding import Guarding
from mmupt.train.settings import EvalStage, GrpoStage, SftStage
from mmupt.train.sft import train_sft
from mmupt.types import Prompt

START = "base"
"""How results name the model before the first stage."""


def run_recipe(
    recipe: Recipe, *, resume: bool = False, overwrite: bool = False, rehearsal: PhaseClock | None = None
) -> Path:
    """Run every stage of `recipe` in its run folder, which is returned.

    What can be checked is checked before the folder is made. With `resume`, finished stages and measurements are taken
    over and the stage that was interrupted goes on from its last checkpoint. `overwrite` removes an earlier run first.
    A `rehearsal` is run for its metrics alone, timed by the clock given: it keeps no model and writes no report.
    """
    root = Path(recipe.run_dir or f"runs/{recipe.name}")
    text = dump_recipe(recipe)
    with Progress() as progress:
        progress.note(f"{recipe.name}: checking model and data")
        with preflight(recipe) as ready:
            if overwrite and not resume and root.exists():
                RunFolder.remove(root)
            with (
                RunFolder.resume(root, text) if resume else RunFolder.create(root, text, recipe.seed) as run,
                MetricsLog(run.metrics) as metrics,
            ):
                Pipeline(recipe, ready, run, metrics, progress, rehearsal).run()
    return root


@dataclass(slots=True)
class Pipeline:
    """One run. `model_path` is the newest model on the disk, `loaded` the same in memory once somebody needs it."""

    recipe: Recipe
    ready: Preflight
    folder: RunFolder
    metrics: MetricsLog
    progress: Progress
    rehearsal: PhaseClock | None = None
    model_path: str = field(init=False)
    loaded: LoadedModel | None = field(default=None, init=False)
    results: list[dict[str, object]] = field(default_factory=list, init=False)
    _earlier_seconds: float = field(default=0.0, init=False)
    _began: float = field(default_factory=time.perf_counter, init=False)
    _engines: Engines = field(default_factory=Engines, init=False)

    def run(self) -> None:
        """All stages, then summary and report, which are written also when something stops the run."""
        self.model_path = self._start_model()
        self._check_model_of_run()
        self._earlier_seconds = _seconds_so_far(self.folder)
        for name, count in self.ready.skipped.items():
            self.progress.note(f'{name}: {count} rows cannot be used and are left out (bad_rows = "skip")')
        try:
            self._run_stages()
        except MmuptError:
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
            if isinstance(stage, EvalStage):
                assert evaluation is not None, "a recipe with an eval stage has an [evaluation] table"
                self._measure(stage.name, evaluation)
                continue
            self._train(stage)
            if evaluation is not None and evaluation.every_stage:
                self._measure(stage.name, evaluation)

    def _train(self, stage: SftStage | GrpoStage) -> None:
        """Train, and hand the result on through the disk, unless that was done before the run was interrupted."""
        checkpoint = latest_checkpoint(self.folder.checkpoints(stage.name))
        state = load_state(checkpoint) if checkpoint is not None else {}
        if checkpoint is not None and state.get("finished"):
            self.model_path, self.loaded = str(checkpoint), None
            self.progress.note(f"{stage.name}: done before")
            return
        step = int(str(state.get("step", 0)))
        self.metrics.truncate_after(stage.name, step, [s.name for s in self.recipe.stages])
        self.progress.note(f"{stage.name}: {_what(stage, self.ready)}" + (f", on from step {step}" if step else ""))
        seed = derive_seed(self.recipe.seed, "stage", stage.name)
        settings = self.recipe.model
        if settings.lora is not None:
            model = attach_adapter(self._model(), settings.lora, seed)
        elif checkpoint is not None:
            model = load_model(str(checkpoint), settings, self.ready.device)
        else:
            model = self._model()
        clock = self.rehearsal or PhaseClock()
        context = StageContext(self.folder, self.metrics, self.progress, stage.name, seed, checkpoint, clock)
        steps = self._train_kind(stage, model, context)
        if self.rehearsal is not None:
            return
        if settings.lora is not None:
            model = merge_adapter(model)
        self.loaded = model
        self.model_path = str(context.save_result(steps, model))

    def _train_kind(self, stage: SftStage | GrpoStage, model: LoadedModel, context: StageContext) -> int:
        if isinstance(stage, SftStage):
            return train_sft(stage, model, self.ready.labeled[stage.name].rows, context)
        start = StartModel(model, partial(self._read_again, self.model_path))
        tools = self._tools(stage, model, start, context)
        guard: Guard | None = None
        if stage.kind == "upt":
            prompts: Sequence[Prompt] = self.ready.blind[stage.name].rows
            labels = None
            if stage.guard.enabled and self.rehearsal is None:
                watched, prompts = hold_out(
                    prompts, stage.guard.watch, at_least=stage.prompts_per_step, seed=context.seed
                )
                watch = Watch(watched, tools, stage.guard, stage.answers, stage.reward, context.seed)
                guard = Guard(stage.guard, watch)
        else:
            rows = self.ready.labeled[stage.name].rows
            prompts = [row.prompt for row in rows]
            labels = {row.prompt.id: row for row in rows}
        reward = build_reward(stage.reward, stage.answers, tools=tools, seed=context.seed, labels=labels)
        guarding = Guarding(guard, start, reward, context)
        reference = start if stage.algo.kl_coef > 0 else None
        steps = train_grpo(stage, model, prompts, reward, tools.engine, reference, guarding, context)
        tools.engine.release()
        return steps

    def _tools(self, stage: GrpoStage, model: LoadedModel, start: StartModel, context: StageContext) -> Tools:
        engine_of = self._engines.of(stage.rollout, stage.prompt, context.clock)
        return Tools(
            loaded=model,
            encoder=PromptEncoder(model.family, stage.prompt),
            engine=engine_of(model),
            engine_of=engine_of,
            start=start,
            rollout=stage.rollout,
            micro_batch_tokens=stage.micro_batch_tokens,
            logprob_chunk=stage.logprob_chunk,
            clock=context.clock,
        )

    def _read_again(self, path: str) -> nn.Module:
        return load_model(path, self.recipe.model, self.ready.device).model

    def _measure(self, stage: str, settings: EvaluationSettings) -> None:
        """The model as it is now, on every set; what was measured before the run was interrupted is taken over."""
        for questions in self.ready.sets:
            name = questions.measurement(stage)
            file = self.folder.eval_json(name)
            if file.exists():
                self.results.append(json.loads(file.read_text(encoding="utf-8")))
                continue
            result = self._evaluate(stage, questions, settings)
            self.results.append(result.summary())
            self._keep(result)
            self._write_summary()
            figures = "  ".join(f"{figure} {e.value:.3f}" for figure, e in result.figures.items())
            self.progress.note(f"{name}: {figures}  unreadable {result.unreadable:.0%}")

    def _evaluate(self, stage: str, questions: EvaluationSet, settings: EvaluationSettings) -> Evaluation:
        name = questions.measurement(stage)
        model = self._model()
        return evaluate(
            stage,
            questions,
            PromptEncoder(model.family, settings.prompt),
            HFEngine(model, settings.prompts_at_once),
            settings,
            seed=self.recipe.seed,
            progress=self.progress,
            places=Places(self.folder.eval_parts(name), self.folder.eval_judge(name)),
        )

    def _keep(self, result: Evaluation) -> None:
        write_records(self.folder.eval_parquet(result.name), result.set.name, result.questions)
        write_json(self.folder.eval_json(result.name), result.summary())  # with it the measurement counts as done
        shutil.rmtree(self.folder.eval_parts(result.name), ignore_errors=True)

    def _model(self) -> LoadedModel:
        if self.loaded is None:
            self.loaded = load_model(self.model_path, self.recipe.model, self.ready.device)
        return self.loaded

    def _start_model(self) -> str:
        """The world's tiny model belongs to the run: it is kept in the run folder, built once."""
        if self.recipe.model.path != WORLD_MODEL:
            return self.ready.model_path
        kept = self.folder.root / "start"
        if not kept.exists():
            partial = self.folder.root / "start.tmp"
            shutil.rmtree(partial, ignore_errors=True)
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
        found = {"stages": self.results, "skipped": self.ready.skipped, "guard": guard}
        write_json(self.folder.summary, {**summary, **found})

    def _close(self) -> None:
        """Summary, report, and in the terminal the same results and warnings as in the report."""
        if self.rehearsal is not None:
            return
        self._write_summary()
        self._show_results()
        try:
            report = write_report(self.folder.root)
            for line in lines_to_tell(self.folder.root):
                self.progress.note(line)
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


def _what(stage: SftStage | GrpoStage, ready: Preflight) -> str:
    if isinstance(stage, GrpoStage) and stage.kind == "upt":
        count, kind = len(ready.blind[stage.name].rows), "questions without labels"
    else:
        count, kind = len(ready.labeled[stage.name].rows), "labeled questions"
    return f"{count} {kind} from {stage.data.path}"


def _seconds_so_far(folder: RunFolder) -> float:
    if not folder.summary.exists():
        return 0.0
    return float(json.loads(folder.summary.read_text(encoding="utf-8"))["seconds"])

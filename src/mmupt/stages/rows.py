"""`synth`, `targets`, `pairs`: rows for a later stage, made with the model as it is. They lie in the run folder, under
`data/<stage>/`."""

from __future__ import annotations

from collections.abc import Sequence

from mmupt.models.encoding import PromptEncoder
from mmupt.rewards.tools import Tools
from mmupt.selftrain.pairs import make_pairs
from mmupt.selftrain.settings import PairsStage, TargetsStage
from mmupt.selftrain.targets import make_targets
from mmupt.stages.work import Work
from mmupt.synth.settings import SynthStage
from mmupt.synth.stage import write_questions
from mmupt.types import LabeledPrompt, Prompt


def run_synth(stage: SynthStage, work: Work) -> None:
    """Questions about pictures. Raises DataError where none is usable."""
    context = work.context
    engine = work.engines.of(stage.rollout, stage.prompt, context.clock, stage.writing.max_new_tokens)(work.model)
    report = write_questions(
        stage,
        _rows(stage, work),
        PromptEncoder(work.model.family, stage.prompt),
        engine,
        context.run.made(stage.name),
        model=work.path,
        seed=context.seed,
        progress=context.progress,
        metrics=context.metrics,
    )
    engine.release()
    context.progress.note(f"{stage.name}: {report.in_words}")


def run_targets(stage: TargetsStage, work: Work) -> None:
    """Answers to imitate. Raises DataError where none is worth it."""
    tools = _tools(stage, work)
    make_targets(stage, _rows(stage, work), tools, work.context)
    tools.engine.release()


def run_pairs(stage: PairsStage, work: Work) -> None:
    """Preferences. Raises DataError where there is nothing to prefer."""
    tools = _tools(stage, work)
    make_pairs(stage, _rows(stage, work), tools, work.context)
    tools.engine.release()


def _rows(stage: SynthStage | TargetsStage | PairsStage, work: Work) -> Sequence[Prompt] | Sequence[LabeledPrompt]:
    if stage.reads == "labels":
        return work.ready.labeled[stage.name].rows
    return work.ready.blind[stage.name].rows


def _tools(stage: TargetsStage | PairsStage, work: Work) -> Tools:
    return work.tools(
        work.start(),
        stage.prompt,
        stage.rollout,
        micro_batch_tokens=stage.micro_batch_tokens,
        logprob_chunk=stage.logprob_chunk,
    )

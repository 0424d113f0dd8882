"""`synth`, `targets`, `pairs`: rows for a later stage, made with the model as it is. They lie in the run folder, under
`data/<stage>/`."""

from __future__ import annotations

from collections.abc import Sequence

from mmupt.engines.hf import HFEngine
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
    context, family = work.context, work.model.family
    report = write_questions(
        stage,
        _rows(stage, work),
        PromptEncoder(family, stage.prompt),
        HFEngine(work.model, stage.rollout.prompts_at_once, context.clock),
        context.run.made(stage.name),
        model=work.path,
        seed=context.seed,
        progress=context.progress,
        metrics=context.metrics,
    )
    context.progress.note(f"{stage.name}: {report.in_words}")


def run_targets(stage: TargetsStage, work: Work) -> None:
    """Answers to imitate. Raises DataError where none is worth it."""
    make_targets(stage, _rows(stage, work), _tools(stage, work), work.context)


def run_pairs(stage: PairsStage, work: Work) -> None:
    """Preferences. Raises DataError where there is nothing to prefer."""
    make_pairs(stage, _rows(stage, work), _tools(stage, work), work.context)


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

"""Stage `targets`: own answers to imitate, written as rows for an `sft` stage.

LMSI (arXiv 2210.11610), Genixer's self-check (arXiv 2312.06731), STIC's description-infused targets (arXiv 2405.19716)
and rejection sampling, as far as MM-UPT's paper (arXiv 2505.22453) says what its baselines are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mmupt.rewards.tools import Tools
from mmupt.selftrain.answering import Answerer
from mmupt.selftrain.describing import Describer
from mmupt.selftrain.heard import Heard
from mmupt.selftrain.keep.base import Target, bounded
from mmupt.selftrain.keep.registry import build_keep
from mmupt.selftrain.made import FromPrompt, MadeReport, make
from mmupt.selftrain.rows import Rows, take_apart
from mmupt.selftrain.settings import TargetsStage
from mmupt.selftrain.verdicts import Judge
from mmupt.train.context import StageContext
from mmupt.train.targets import TargetEncoder
from mmupt.types import LabeledPrompt


def make_targets(stage: TargetsStage, rows: Rows, tools: Tools, context: StageContext) -> MadeReport:
    """Writes `data/<stage>/train.jsonl` in the run folder: `solution` is the response to imitate, `answer` the answer
    it gives, `meta.made` says where the row comes from. `rows` are `Prompt`s, or `LabeledPrompt`s where `stage.reads`
    says "labels". The model is the one of `tools`, and does not change.

    A killed stage goes on with the part it was at; the rows are those of an undisturbed one. Raises DataError where
    nothing is worth imitating.
    """
    prompts, labels = take_apart(stage, rows)
    rule = build_keep(stage, labels)
    seed = context.seed
    ask = Answerer(
        stage,
        tools,
        seed=seed,
        samples=0 if stage.keep == "data" else stage.rollout.group_size,
        describer=Describer(stage, tools, seed=seed) if stage.describe else None,
        judge=Judge(stage.verdict, stage.answers, tools, seed=seed) if stage.keep == "self_check" else None,
    )

    def rows_of(heard: Heard) -> FromPrompt:
        choice = bounded(rule.choose(heard), stage.per_prompt)
        label = labels[heard.prompt.id] if labels is not None else None
        made = [_row(stage, heard, target, label.meta if label is not None else {}) for target in choice.kept]
        return FromPrompt(made, [target.why for target in choice.kept], choice.left_out)

    return make(
        stage, stage.keep, prompts, ask, rows_of, context, reserved=TargetEncoder.of(tools.loaded.family).reserved
    )


def _row(stage: TargetsStage, heard: Heard, target: Target, meta: Mapping[str, object]) -> LabeledPrompt:
    made = {"stage": stage.name, "rule": stage.keep, "prompt": heard.prompt.id, **target.why}
    prompt = replace(heard.prompt, id=f"{heard.prompt.id}#{target.name}")
    return LabeledPrompt(prompt, target.answer, solution=target.text, meta={**meta, "made": made})

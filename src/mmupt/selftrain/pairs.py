"""Stage `pairs`: preferences between two responses, written as rows for a `dpo` stage.

SRLM (arXiv 2401.10020), STIC's first stage (arXiv 2405.19716), SPIN (arXiv 2401.01335), and right over wrong answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mmupt.rewards.tools import Tools
from mmupt.selftrain.answering import Answerer
from mmupt.selftrain.describing import Describer
from mmupt.selftrain.heard import Heard
from mmupt.selftrain.made import FromPrompt, MadeReport, make
from mmupt.selftrain.parts import Ask
from mmupt.selftrain.prefer.base import Preference
from mmupt.selftrain.prefer.registry import build_prefer
from mmupt.selftrain.rows import Rows, take_apart
from mmupt.selftrain.settings import PairsStage
from mmupt.selftrain.verdicts import Judge
from mmupt.train.context import StageContext
from mmupt.train.targets import TargetEncoder
from mmupt.types import PreferencePair, Prompt


def make_pairs(stage: PairsStage, rows: Rows, tools: Tools, context: StageContext) -> MadeReport:
    """Writes `data/<stage>/train.jsonl` in the run folder, with the columns `chosen` and `rejected`; `meta.made` says
    where the row comes from. `rows` are `Prompt`s, or `LabeledPrompt`s where `stage.reads` says "labels". The model is
    the one of `tools`, and does not change.

    The pairs of "corrupted" are about descriptions: they were sampled without `prompt.suffix`, and a stage that learns
    from them must set it to "". Pictures that several prompts share are described once.

    A killed stage goes on with the part it was at; the rows are those of an undisturbed one. Raises DataError where
    there is nothing to prefer.
    """
    prompts, labels = take_apart(stage, rows)
    rule = build_prefer(stage, labels)

    def rows_of(heard: Heard) -> FromPrompt:
        choice = rule.prefer(heard)
        made = [_row(stage, heard, number, pair) for number, pair in enumerate(choice.found)]
        return FromPrompt(made, [pair.why for pair in choice.found], choice.left_out)

    asked = _one_a_picture(prompts) if stage.prefer == "corrupted" else prompts
    shared = {"share their pictures": len(prompts) - len(asked)} if len(asked) < len(prompts) else {}
    ask, reserved = _ask(stage, tools, context.seed), TargetEncoder.of(tools.loaded.family).reserved
    return make(stage, stage.prefer, asked, ask, rows_of, context, reserved=reserved, passed_over=shared)


def _ask(stage: PairsStage, tools: Tools, seed: int) -> Ask:
    if stage.prefer == "corrupted":
        return Describer(stage, tools, seed=seed).pairs
    judge = Judge(stage.verdict, stage.answers, tools, seed=seed) if stage.prefer == "judge" else None
    return Answerer(stage, tools, seed=seed, samples=stage.rollout.group_size, judge=judge)


def _one_a_picture(prompts: Sequence[Prompt]) -> list[Prompt]:
    """The first prompt about each set of pictures; those without a picture stay, to be counted."""
    first: Mapping[object, Prompt] = {prompt.images or prompt.id: prompt for prompt in reversed(prompts)}
    return [prompt for prompt in prompts if first[prompt.images or prompt.id] is prompt]


def _row(stage: PairsStage, heard: Heard, number: int, pair: Preference) -> PreferencePair:
    made = {"stage": stage.name, "rule": stage.prefer, "prompt": heard.prompt.id, **pair.why}
    prompt = replace(heard.prompt, id=f"{heard.prompt.id}#{number}")
    return PreferencePair(prompt, pair.chosen, pair.rejected, {"made": made})

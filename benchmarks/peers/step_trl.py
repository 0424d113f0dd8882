"""TRL's side: steps of `GRPOTrainer` in a fresh process. Called with a task as JSON; answers on standard output.

What counts where:
    step        from the end of the step before (or the start of the epoch) to the end of this one, reading pictures,
                tokenizing, rewards and everything else included
    generation  `_generate`: tokenizing, picture processing, sampling, decoding
    update      the reference's forward (which TRL does while it scores), and everything behind the prepared batch:
                forward, backward, clipping, optimiser
What is in the step and in neither: reading pictures, rewards, and TRL's second picture processing.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from typing import Any

import torch
from datasets import Dataset, Image
from step_task import GROUP, LEARNING_RATE, PROMPTS, WARM_UP, Task, answer, peak_rss, reward, versions
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer


class TimedTrainer(GRPOTrainer):
    """Adds the seconds of its parts up in `seconds`; computes what GRPOTrainer computes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seconds = {"generation": 0.0, "reference": 0.0}
        self.prepared_at: float | None = None  # when the first batch of the running step was ready
        self.lengths: list[tuple[int, int]] = []  # prompt and completion tokens of every row generated
        self.scoring = False

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        output = super()._generate(*args, **kwargs)
        self.seconds["generation"] += time.perf_counter() - began
        self.lengths += [(len(p), len(c)) for p, c in zip(output[0], output[1], strict=True)]
        return output

    def _generate_and_score_completions(self, *args: Any, **kwargs: Any) -> Any:
        self.scoring = True
        output = super()._generate_and_score_completions(*args, **kwargs)
        self.scoring = False
        return output

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        output = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        if self.scoring:
            self.seconds["reference"] += time.perf_counter() - began
        return output

    def _prepare_inputs(self, *args: Any, **kwargs: Any) -> Any:
        output = super()._prepare_inputs(*args, **kwargs)
        if self.prepared_at is None:
            self.prepared_at = time.perf_counter()
        return output


class Clock(TrainerCallback):
    """One record a step."""

    trainer: TimedTrainer

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self.began: float | None = None

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        if self.began is None:
            self.began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        ended, trainer = time.perf_counter(), self.trainer
        assert self.began is not None and trainer.prepared_at is not None
        self.steps.append(
            {
                "generation": trainer.seconds["generation"],
                "update": trainer.seconds["reference"] + ended - trainer.prepared_at,
                "step": ended - self.began,
            }
        )
        trainer.seconds = dict.fromkeys(trainer.seconds, 0.0)
        trainer.prepared_at, self.began = None, ended


def steps(task: Task, folder: str) -> list[dict[str, float]]:
    rows = task.questions()
    data = Dataset.from_dict(
        {
            "prompt": [[{"role": "user", "content": row["question"]}] for row in rows],
            "image": [row["picture"] for row in rows],
        }
    ).cast_column("image", Image())
    config = GRPOConfig(
        output_dir=folder,
        model_init_kwargs={"dtype": "float32", "attn_implementation": "sdpa"},
        num_generations=GROUP,
        max_completion_length=task.completion,
        generation_kwargs={"suppress_tokens": task.never_sampled()},
        temperature=1.0,
        # The two groups are generated together and are one optimiser step, however they are cut for the forward.
        per_device_train_batch_size=task.groups * GROUP,
        gradient_accumulation_steps=PROMPTS // task.groups,
        steps_per_generation=PROMPTS // task.groups,
        num_iterations=1,
        max_steps=task.steps,
        beta=task.beta,
        loss_type="dapo",
        epsilon=0.2,
        epsilon_high=0.3,
        delta=3.0,
        use_bias_correction_kl=False,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        weight_decay=0.01,
        gradient_checkpointing=False,
        use_cpu=True,
        bf16=False,
        logging_strategy="no",
        save_strategy="no",
        log_multimodal=False,
        report_to=[],
        disable_tqdm=True,
    )
    clock = Clock()
    trainer = TimedTrainer(
        model=task.model,
        reward_funcs=lambda completion_ids, **_: [reward(ids) for ids in completion_ids],
        args=config,
        train_dataset=data,
        callbacks=[clock],
    )
    clock.trainer = trainer
    trainer.train()
    wanted = {(task.prompt, task.completion)}
    if set(trainer.lengths) != wanted or len(trainer.lengths) != task.steps * PROMPTS * GROUP:
        raise SystemExit(f"rows came out with lengths {sorted(set(trainer.lengths))}, not {wanted}")
    return clock.steps


def main() -> None:
    task = Task.from_argument(sys.argv[1])
    torch.set_num_threads(task.threads)
    with tempfile.TemporaryDirectory() as folder:
        steps(replace(task, **WARM_UP), folder)
        before = peak_rss()
        measured = steps(task, folder)
    answer(
        {
            "steps": measured,
            "rss": peak_rss(),
            "rss_before": before,
            "versions": versions("trl", "torch", "transformers", "torchvision"),
        }
    )


if __name__ == "__main__":
    main()

"""Run by test_trl.py under torchrun: TRL's GRPOTrainer with a tiny Qwen2 on two gloo processes, a group of eight over
both. Writes what the rewards were handed and what they returned."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from trl import GRPOConfig, GRPOTrainer

from mmupt.integrations.trl import VoteReward

WORDS = ["<pad>", "<eos>", "1", "2", "3", "hm", "red", "blue", "?"]


def tiny() -> tuple[Qwen2ForCausalLM, PreTrainedTokenizerFast]:
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="?")
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, pad_token_id=0, eos_token_id=1, bos_token_id=None,
    )  # fmt: skip
    return Qwen2ForCausalLM(config), tokenizer


def main(out: Path) -> None:
    torch.set_num_threads(1)
    model, tokenizer = tiny()
    config = GRPOConfig(
        output_dir=str(out / "trl"), use_cpu=True, num_generations=8, per_device_train_batch_size=4, max_steps=4,
        max_completion_length=1, learning_rate=1e-4, report_to=[], logging_steps=1, seed=3, save_strategy="no",
        disable_tqdm=True, bf16=False,
    )  # fmt: skip
    calls: list[dict[str, Any]] = []
    majority = VoteReward(config.num_generations, extract="lenient")
    soft = VoteReward(config.num_generations, extract="lenient", kind="soft")

    def majority_vote(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
        rewards = majority(prompts, completions, **columns)
        calls.append({"prompts": prompts, "texts": completions, "majority": rewards})
        return rewards

    def soft_vote(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
        calls[-1]["soft"] = soft(prompts, completions, **columns)
        return calls[-1]["soft"]

    trainer = GRPOTrainer(
        model=model,
        reward_funcs=[majority_vote, soft_vote],
        args=config,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"prompt": ["red blue", "blue red", "red", "blue"]}),
    )
    trainer.train()
    assert trainer.accelerator.num_processes == 2
    calls[-1]["logs"] = [log for log in trainer.state.log_history if "reward" in log]
    (out / f"rank-{trainer.accelerator.process_index}.json").write_text(json.dumps(calls))


main(Path(sys.argv[1]))

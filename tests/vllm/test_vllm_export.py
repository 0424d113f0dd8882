"""An exported folder in a vLLM that knows nothing of mmupt, against transformers on the same folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import Qwen2_5_VLForConditionalGeneration

from mmupt.export.exporting import export_model
from mmupt.models.families.base import PixelLimits
from mmupt.models.loading import LoadedModel, save_model
from mmupt.models.lora import attach_adapter
from mmupt.models.settings import LoraSettings
from mmupt.runtime.checkpoints import save_checkpoint

pytestmark = pytest.mark.skipif(
    find_spec("vllm") is None, reason="vLLM is not installed here; `make test-vllm` has an environment with it"
)
# Plain vLLM, as one would serve the folder; in a process of its own, since vLLM keeps much for the process as a whole.
SCRIPT = """
import json, sys
from PIL import Image
from vllm import LLM, SamplingParams
llm = LLM(sys.argv[1], dtype="float32", max_model_len=256, enforce_eager=True, kv_cache_memory_bytes=2**27,
          block_size=32, limit_mm_per_prompt={"video": 0})
asked = [{"prompt_token_ids": json.loads(sys.argv[3]), "multi_modal_data": {"image": Image.open(sys.argv[2])}}]
params = SamplingParams(temperature=0.0, max_tokens=12, logprobs=0, ignore_eos=True)
(output,) = llm.generate(asked, params, use_tqdm=False)
tokens = list(output.outputs[0].token_ids)
print("\\n" + json.dumps([tokens, [step[t].logprob for t, step in zip(tokens, output.outputs[0].logprobs)]]))
"""


def test_vllm_loads_an_adapter_that_was_merged(tiny: LoadedModel, tiny_folder: Path, tmp_path: Path) -> None:
    """In several shards, and asked about a picture."""
    adapted = attach_adapter(tiny, LoraSettings(rank=4), seed=0)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in adapted.model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=rng))
    save_checkpoint(tmp_path / "step-000001", lambda to: save_model(adapted, to), {"step": 1})
    made = export_model(
        str(tmp_path / "step-000001"), tmp_path / "out", dtype="float32", shard_bytes=10**6, base=str(tiny_folder)
    )
    assert len(made.shards) > 3

    side = 112  # pixels; the processor leaves such a picture at its size
    Image.effect_noise((side, side), 80).convert("RGB").save(tmp_path / "noise.png")
    picture = tiny.family.picture(Image.open(tmp_path / "noise.png").convert("RGB"), PixelLimits(side**2, side**2))
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "How many red dice?"}]}
    encoded = tiny.family.encode([message], [picture])
    # vLLM's own processor expands a picture's placeholder, so it is shown one.
    place = tiny.model.config.image_token_id
    runs = [(token, len(list(run))) for token, run in groupby(encoded.token_ids.tolist())]
    asked = [token for token, times in runs for _ in range(1 if token == place else times)]

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(made.folder), str(tmp_path / "noise.png"),
         json.dumps(asked)],
        env={**os.environ, "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR",
             "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_NO_USAGE_STATS": "1", "TORCHDYNAMO_DISABLE": "1"},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    tokens, logprobs = json.loads(done.stdout.strip().splitlines()[-1])

    def plain(folder: Path) -> torch.Tensor:
        """Log-probs of those tokens as transformers alone finds them."""
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
        ids = torch.cat([encoded.token_ids, torch.tensor(tokens)])[None]
        types = (ids == model.config.image_token_id).int()
        with torch.no_grad():
            logits = model(input_ids=ids, mm_token_type_ids=types, use_cache=False, **picture.tensors).logits[0]
        return logits[encoded.length - 1 : -1].log_softmax(-1).gather(1, torch.tensor(tokens)[:, None])[:, 0]

    assert (plain(made.folder) - torch.tensor(logprobs)).abs().max() < 1e-4
    assert (plain(tiny_folder) - torch.tensor(logprobs)).abs().max() > 1e-2, "the test needs an adapter that matters"

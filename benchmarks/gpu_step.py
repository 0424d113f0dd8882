"""One update on a GPU, ours against TRL's, and our attention backends against each other. Qwen2.5-VL-3B's sizes.

    python benchmarks/gpu_step.py --json gpu_step.json      # one GPU of 80 GB or more; nothing is downloaded
    python benchmarks/gpu_step.py --tiny                    # the same road on a CPU with a tiny model, fp32

An update is the forward and backward pass over one group: a prompt of 1000 tokens (896 of them one picture), G
completions of a fixed length, random weights, everything trained, no KL term. No optimiser's step is taken on either
side: both would take the same. Ours is `accumulate_gradients`, packing included; TRL's is `GRPOTrainer._compute_loss`
and backward, on its own inputs without any padding, with its default autocast. Both train one and the same model
object, TRL first, on the model as transformers makes it; how far gradients are apart is printed.

TRL forwards `rows` of a group at once and adds gradients up. It is measured with the most rows that fit (G, halved
until they do), and with one, which takes the least memory. Both sides are measured with gradient checkpointing (TRL's
default) and without. Weights are fp32 under bf16 autocast, our precision in training; `--bf16-weights` adds a round
with weights in bf16. Memory is what tensors on the GPU held at most, weights and gradients included. "MFU" is the
least arithmetic of the packed work (models/flops.py; on TRL's side of the repeated work) by the measured rate of the
best matrix product.

"Largest G" is a doubling search with gradient checkpointing: ours in one row (a group is never cut), TRL's rows at
once.

Backends: first each is compared with "dense" in fp32, one layer with its gradients and the whole model's log-probs
(tolerances are printed), then timed on one layer. One that is wrong cannot win.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import platform
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "src")]  # a checkout is enough, mmupt need not be installed

NEEDED = ("torch", "transformers", "tokenizers", "safetensors", "pydantic", "numpy", "PIL", "accelerate", "jinja2")
FOR_TRL = ("trl", "datasets")
PARTS = ("trl", "ours", "largest", "backends")
SPEED_BAR, MEMORY_BAR = 3.0, 0.5  # TRL's seconds over ours, at least; our memory over TRL's, at most


def run(options: argparse.Namespace) -> None:
    import torch
    from gpu.bench import Bench, measure_backends, measure_ours, measure_trl, verdict
    from gpu.measure import free
    from gpu.model import REAL, TINY, make_family, make_model, make_ours, make_prompt

    from mmupt.models.flops import ModelShape
    from mmupt.runtime.ceiling import matmul_ceiling

    on_gpu = torch.cuda.is_available() and not options.tiny
    if not on_gpu and not options.tiny:
        raise SystemExit("torch sees no CUDA device here; --tiny runs the same road on a CPU")
    device = torch.device("cuda" if on_gpu else "cpu")
    compute = torch.bfloat16 if on_gpu else torch.float32
    scale = TINY if options.tiny else REAL
    config, family = make_family(scale)
    shape = ModelShape.from_config(config)
    assert shape is not None
    ceiling = matmul_ceiling(device, compute)
    report: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name(device) if on_gpu else platform.processor() or platform.machine(),
        "memory_gib": torch.cuda.get_device_properties(device).total_memory / 2**30 if on_gpu else None,
        "versions": {"python": platform.python_version(), "cuda": torch.version.cuda} | _versions(),
        "options": {name: value for name, value in vars(options).items() if name != "json"},
        "matmul_ceiling": ceiling,
        "prompt": scale.prompt,
        "picture": scale.rows * scale.columns,
        "config": config.to_dict(),
    }
    bench = Bench(options, device, compute, make_prompt(scale, family), shape, family.image_id, ceiling, report)
    print(f"{report['device']}, {report['versions']}, {compute} matrix products at {ceiling / 1e12:.3g} TFLOP/s")
    for weights in ("float32", "bfloat16") if options.bf16_weights else ("float32",):
        model = make_model(config, device, getattr(torch, weights))
        theirs: dict[str, torch.Tensor] = {}
        if "trl" in options.parts:
            with tempfile.TemporaryDirectory() as folder:
                theirs = measure_trl(bench, model, family.tokenizer, weights, folder)
            free(device)
        loaded = make_ours(model, family, device, compute)
        if "ours" in options.parts:
            measure_ours(bench, loaded, weights, theirs)
        if "backends" in options.parts and weights == "float32":
            measure_backends(bench, loaded)
        del model, loaded
        free(device)
    report["verdict"] = verdict(bench.rows)
    bench.save()
    for line in report["verdict"]:
        memory = "-" if line["memory"] is None else f"{line['memory']:.2f} ({line['memory_against_trl_least']:.2f})"
        print(
            f"{line['weights']} G {line['group']} x {line['completion']}, {line['compared']}: "
            f"speed {line['speed']:.2f}x (bar {SPEED_BAR:g}), memory {memory} (bar {MEMORY_BAR:g}; in brackets "
            "against TRL's least)"
        )
    broken = [row for row in bench.rows if row.side == "ours" and row.measured.error and not row.measured.out_of_memory]
    if broken:
        raise SystemExit(f"{len(broken)} of our own updates failed, and not for want of memory")


def _versions() -> dict[str, str]:
    found = {}
    for package in ("torch", "transformers", "trl", "accelerate", "datasets", "triton"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _missing(packages: Sequence[str]) -> list[str]:
    return [package for package in packages if importlib.util.find_spec(package) is None]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a small model in fp32 on the CPU")
    parser.add_argument("--groups", type=int, nargs="+", help="G; 10 16")
    parser.add_argument("--completions", type=int, nargs="+", help="tokens of each completion; 256 1024")
    parser.add_argument("--bf16-weights", action="store_true", help="afterwards also with weights in bf16")
    parser.add_argument("--chunk", type=int, default=1024, help="logits that exist at once, in tokens (logprob_chunk)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cap", type=int, help="where the search for the largest G ends; 256")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--json", type=Path, help="all samples, with date, device and versions; written as it goes")
    options = parser.parse_args(arguments)
    options.groups = options.groups or ([2, 3] if options.tiny else [10, 16])
    options.completions = options.completions or ([8] if options.tiny else [256, 1024])
    options.cap = options.cap or (4 if options.tiny else 256)
    return options


def main() -> None:
    options = parse()
    if missing := _missing(NEEDED):
        raise SystemExit(f"cannot run, these are not installed here: {', '.join(missing)}")
    if "trl" in options.parts and (missing := _missing(FOR_TRL)):
        print(f"without TRL, these are not installed here: {', '.join(missing)}")
    run(options)


if __name__ == "__main__":
    main()

"""What no arithmetic knows: efficiencies and reserves. All are printed with a plan, and each can be changed."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

from mmupt.errors import ConfigError


def _value(default: float, says: str) -> float:
    return field(default=default, metadata={"says": says})


@dataclass(frozen=True, slots=True)
class Assumptions:
    """None of these was measured on a GPU with mmupt. (`vote_ms` was on a CPU: real responses through `extract` and
    `vote` took 0.01 ms each in tags, 0.03 in boxes and 0.35 where the answer is looked for everywhere.) They are
    what large training runs commonly report (a model FLOP utilisation of 0.3 to 0.5, NCCL at 0.8 of the wire), taken
    from the careful side."""

    mfu: float = _value(0.35, "share of the peak that forward and backward passes reach")
    prefill_mfu: float = _value(0.4, "share of the peak that reading prompts reaches in generation")
    decode_mfu: float = _value(0.3, "share of the peak that decoding reaches where it is bound by arithmetic")
    decode_bandwidth: float = _value(0.6, "share of the memory's bandwidth that decoding reaches")
    memory_bandwidth: float = _value(0.7, "the same for the optimiser")
    comm_efficiency: float = _value(0.8, "share of link and network that all-gather and reduce-scatter reach")
    overlap: float = _value(0.7, "share of communication that hides behind arithmetic, where there is enough of it")
    hop_us: float = _value(3.4, "latency of a step of a ring inside a node (NCCL's own cost model, ring, simple)")
    network_hop_us: float = _value(14.0, "the same between two nodes")
    network_gb_s: float = _value(0.0, "a GPU's share of the network, 0 for that of the table")
    decode_overhead_ms: float = _value(5.0, "of vLLM a decoding step, beside arithmetic and memory")
    hf_overhead_ms: float = _value(0.5, "of the HF engine a decoding step and layer")
    layer_us: float = _value(150.0, "the least a layer's forward takes, however little it computes: launching it")
    vote_ms: float = _value(0.5, "to read, compare and reward one response, on one process (0.01 to 0.35 measured)")
    pcie_gb_s: float = _value(25.0, "between a GPU and main memory, for offloaded shards")
    host_gb_s: float = _value(100.0, "of a node's main memory, which AdamW on its processors is bound by")
    storage_gb_s: float = _value(5.0, "of the file system that checkpoints go to, all processes together")
    runtime_gb: float = _value(3.0, "of a GPU for CUDA, NCCL and kernels")
    usable: float = _value(0.92, "share of the memory that is left to tensors, the rest being fragments")
    engine_gb: float = _value(3.0, "of a GPU for vLLM's activations and graphs")


def assume(given: Sequence[str], start: Assumptions | None = None) -> Assumptions:
    """The assumptions with `KEY=VALUE` applied. ConfigError names what is wrong with each of them."""
    assumptions = start or Assumptions()
    known = {f.name: getattr(assumptions, f.name) for f in fields(Assumptions)}
    problems, changes = [], {}
    for text in given:
        key, equals, value = (part.strip() for part in text.partition("="))
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            guess = f"; did you mean {near[0]}?" if near else "."
            problems.append(f'--assume "{text}": no assumption is called "{key}"{guess} Known: {", ".join(known)}')
            continue
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        largest = 1.0 if known[key] <= 1.0 and key != "network_gb_s" and not key.endswith("_ms") else 1e9
        smallest_allowed = key in ("network_gb_s", "overlap", "runtime_gb", "engine_gb") or key.endswith(("_ms", "_us"))
        if not equals or not (number > 0 or (number == 0 and smallest_allowed)) or number > largest:
            what = "a share above 0 and up to 1" if largest == 1.0 else "a number that is not negative"
            problems.append(f'--assume "{text}": give {key}=VALUE with {what}')
            continue
        changes[key] = number
    if problems:
        raise ConfigError(problems)
    return replace(assumptions, **changes)

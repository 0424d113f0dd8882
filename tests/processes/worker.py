"""Runs `mmupt` commands in several processes, as torchrun does, at the price of one import.

    python worker.py GROUPS

GROUPS is JSON: [{"size": 2, "log": path, "jobs": [{"argv": ["run", ...], "cwd": path}, ...]}, ...]. The processes of a
group do its jobs one after another. A job may hold a fault: "stop" is the number of the update, from 1, in which the
run is interrupted everywhere; "back" maps a step to that which the guard goes back to behind it; "fail" is [rank, how],
see `with_faults`; "weigh" is a file for the bytes of parameters that each process holds, see `weighing`. Exit codes are
printed as JSON, one list a group.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.distributed.tensor import DTensor

import mmupt.cli
import mmupt.pipeline
from mmupt.engines.hf import HFEngine
from mmupt.errors import EngineError
from mmupt.train import grpo
from mmupt.train.guarding import Guarding, Outcome
from mmupt.train.policy import ShardedPolicy


def main() -> None:
    torch.set_num_threads(1)
    codes = []
    for group in json.loads(sys.argv[1]):
        ports = [free_port() for _ in group["jobs"]]
        children = []
        for rank in range(group["size"]):
            if (child := os.fork()) == 0:
                act(rank, group, ports)
            children.append(child)
        codes.append([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
    print(json.dumps(codes))


def act(rank: int, group: dict[str, Any], ports: list[int]) -> None:
    """The life of one process; never returns."""
    log = os.open(group["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    size = str(group["size"])
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1"}
    code: Any = 0
    for job, port in zip(group["jobs"], ports, strict=True):
        os.environ["MASTER_PORT"] = str(port)
        with_faults(rank, job)
        sys.argv = ["mmupt", *job["argv"]]
        if "cwd" in job:
            os.makedirs(job["cwd"], exist_ok=True)
            os.chdir(job["cwd"])
        try:
            mmupt.cli.main()
        except SystemExit as ended:
            code = ended.code
        if code:
            break
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def with_faults(rank: int, job: dict[str, Any]) -> None:
    if "weigh" in job:
        HFEngine.generate = weighing(HFEngine.generate, "sampling", job["weigh"])  # type: ignore[method-assign]
        ShardedPolicy.logprobs = weighing(ShardedPolicy.logprobs, "row", job["weigh"])  # type: ignore[method-assign]
        grpo.update_policy = weighing(grpo.update_policy, "update", job["weigh"])
    if "stop" in job:
        grpo.update_policy = interrupting(grpo.update_policy, job["stop"])
    if "back" in job:
        Guarding.best_step = 2  # type: ignore[assignment]  (a checkpoint to keep)
        Guarding.after = lambda self, step, *_: Outcome(go_back_to=job["back"].get(str(step)))  # type: ignore
    who, how = job.get("fail", (None, None))
    if who != rank:
        return
    if how == "sampling":  # something that the user can mend, in one process alone
        HFEngine.generate = raising(EngineError("the card is on fire"))  # type: ignore[method-assign]
    elif how == "forward":  # a bug, in the middle of what all do together
        ShardedPolicy.logprobs = raising(ZeroDivisionError("a bug"))  # type: ignore[method-assign]
    elif how == "nan":
        ShardedPolicy.logprobs = poisoned(ShardedPolicy.logprobs)  # type: ignore[method-assign]
    elif how == "other advantages":
        grpo._digest = lambda *_: "mine"
    elif how == "asked to end":  # by SIGTERM, in its third update, and nobody else is
        grpo.update_policy = asked_to_end(grpo.update_policy, 3)


def weighing(whole: Callable[..., Any], where: str, file: str) -> Callable[..., Any]:
    """Bytes before and behind each call."""

    def weighed(*arguments: Any, **named: Any) -> Any:
        before = parameter_bytes()
        found = whole(*arguments, **named)
        with open(file, "a") as out:
            out.write(json.dumps({"where": where, "before": before, "behind": parameter_bytes()}) + "\n")
        return found

    return weighed


def parameter_bytes() -> int:
    """Of all storages that a parameter lies in, shards and what is gathered for a moment alike."""
    gc.collect()
    tensors = [x for x in gc.get_objects() if issubclass(type(x), torch.Tensor) and isinstance(x, torch.nn.Parameter)]
    local = [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in local if not t.is_meta}
    return sum(storages.values())


def interrupting(whole: Callable[..., Any], number: int) -> Callable[..., Any]:
    calls = 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            raise KeyboardInterrupt
        return whole(*arguments)

    return interrupted


def asked_to_end(whole: Callable[..., Any], number: int) -> Callable[..., Any]:
    calls = 0

    def asked(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(*arguments)

    return asked


def raising(error: Exception) -> Callable[..., Any]:
    def raise_it(*_: object, **__: object) -> Any:
        raise error

    return raise_it


def poisoned(whole: Callable[..., Any]) -> Callable[..., Any]:
    """Log-probs that are no numbers."""

    def poison(*arguments: Any, **named: Any) -> Any:
        found = whole(*arguments, **named)
        return replace(found, logprobs_T=found.logprobs_T * torch.nan)

    return poison


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()

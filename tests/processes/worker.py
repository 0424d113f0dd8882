"""Runs `mmupt` commands in several processes, one after another: what torchrun does, at the price of one import.

python worker.py SIZE JOBS      # JOBS is JSON: [{"argv": [...], ...}, ...], see `main`
"""

from __future__ import annotations

import json
import os
import socket
import sys
import traceback
from typing import Any

import torch

import mmupt.pipeline  # noqa: F401  (before the fork, so that it is imported once)
from mmupt.cli import app


def main() -> None:
    size, jobs = int(sys.argv[1]), json.loads(sys.argv[2])
    ports = [free_port() for _ in jobs]
    children = []
    for rank in range(size):
        if (child := os.fork()) == 0:
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
            os.environ["MASTER_ADDR"] = "127.0.0.1"
            work(rank, jobs, ports)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(f"exit codes {codes}", flush=True)
    sys.exit(max(abs(code) for code in codes))


def work(rank: int, jobs: list[dict[str, Any]], ports: list[int]) -> None:
    """Each job is a command line; `stop` interrupts the run in its update of that number, in every process; `fail` says
    [rank, update, how] of a fault."""
    torch.set_num_threads(1)
    try:
        for job, port in zip(jobs, ports, strict=True):
            os.environ["MASTER_PORT"] = str(port)
            with_faults(rank, job)
            try:
                app(job["argv"], standalone_mode=False)
            except BaseException as error:  # typer.Exit of an interruption
                if "stop" not in job:
                    raise
                print(f"rank {rank}: {type(error).__name__}")
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    finally:
        sys.stdout.flush()


def with_faults(rank, job): ...


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()

"""What each worker of a Ray Train group does: it meets the others and runs the recipe, as a process of torchrun does.

A worker that was lost takes its group with it (Ray ends the others), and a new group goes on from the last checkpoint.
A user's mistake is told at the desk instead, and ends the run: it would only be made again.
"""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmupt.errors import MmuptError, RunFolderError
from mmupt.launching.desk import Lines
from mmupt.runtime.launch import Launch
from mmupt.runtime.layout import RunLayout
from mmupt.runtime.lock import FolderLock

if TYPE_CHECKING:
    from mmupt.recipe import Recipe

_PATIENCE = 60.0
"""Seconds for which a process of the attempt before may take to be gone from the run folder."""


@dataclass(frozen=True)
class Task:
    """What all workers of all attempts are told. `folder` is the driver's, which relative paths mean. `earlier` is the
    run.json that the driver found (None: there was none): another one was written by this launch."""

    recipe: Recipe
    folder: str
    resume: bool
    overwrite: bool
    earlier: str | None
    gpus: int


def work(config: dict[str, Any]) -> None:
    """The training function. `config` holds the `task`, and the `desk` (an actor).

    It returns also after a user's mistake that all workers make alike. Where one alone has made it the others may be
    waiting for it, so it raises, for Ray to end them; the next group finds the verdict and returns.
    """
    import ray
    from ray.train import get_context

    task: Task = config["task"]
    desk: Any = config["desk"]
    if ray.get(desk.verdict.remote()) is not None:
        return
    rank, size = get_context().get_world_rank(), get_context().get_world_size()
    with _heard(desk, rank == 0):
        try:
            _enter(task)
            launch = _meet(rank, size)
            if rank == 0 and ray.get(desk.begin.remote()) > 1:
                print("a worker was lost: its group begins again, from the last checkpoint where there is one")
            _run(task, launch)
        except MmuptError as error:
            alike = error.agreed or size == 1
            ray.get(desk.judge.remote(str(error) if alike else f"rank {rank}: {error}"))
            if not alike:
                raise RuntimeError("a user's mistake, told at the desk") from None
        except Exception:
            ray.get(desk.fail.remote(f"rank {rank}:\n{traceback.format_exc()}"))
            raise


@contextmanager
def _heard(desk: Any, main: bool) -> Iterator[None]:
    """What the first worker prints appears where the run was started; the others' goes into Ray's logs."""
    if not main:
        yield
        return
    import ray

    out, err = (Lines(lambda text, to=to: desk.say.remote(to, text)) for to in ("out", "err"))  # type: ignore[misc]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            yield
    finally:
        out.close()
        err.close()
        ray.get(desk.attempts.remote())  # calls arrive in order: with this one all lines are there


def _enter(task: Task) -> None:
    """Where the driver is, with the devices that this worker was given."""
    try:
        os.chdir(task.folder)  # Ray has put the worker into a folder of its own
    except OSError as error:
        raise RunFolderError(
            f"{task.folder}: cannot be entered on {socket.gethostname()} ({error.strerror}); start the run in a folder "
            "on a file system that all nodes share"
        ) from error
    if not task.gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray leaves all GPUs to a worker that has asked for none


def _meet(rank: int, size: int) -> Launch | None:
    """Puts into the environment where the group meets, on the first worker's node; None for a worker that is alone."""
    import ray
    from ray.train.collective import broadcast_from_rank_zero

    if size == 1:
        return None
    address = f"{ray.util.get_node_ip_address()} {_free_port()}" if rank == 0 else None
    host, port = str(broadcast_from_rank_zero(address)).split()
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = host, port
    # Each worker sees the one GPU that Ray has given it, and who its neighbours on the node are is Ray's business.
    return Launch(rank, size, local_rank=0, local_size=1)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("", 0))
        return int(found.getsockname()[1])


def _run(task: Task, launch: Launch | None) -> None:
    from mmupt.pipeline import run_recipe
    from mmupt.runtime.processes import ALONE, Ranks

    recipe = task.recipe
    assert recipe.run_dir is not None, "the driver has written the run folder into the recipe"
    root = Path(recipe.run_dir)
    together: Ranks | None = None
    if launch is not None:
        timeout = recipe.processes.timeout_minutes
        together = Ranks(launch, device_name=recipe.model.device, timeout_minutes=timeout)
    processes = together or ALONE
    resume, overwrite = processes.first(lambda: how_to_begin(task, root))
    run_recipe(recipe, resume=resume, overwrite=overwrite, processes=processes)
    if together is not None:
        together.end(None)


def how_to_begin(task: Task, root: Path) -> tuple[bool, bool]:
    """(resume, overwrite) for the run folder as it is now: a run that an earlier attempt has begun goes on, and is
    never overwritten. Waits for a process of that attempt that may still hold it."""
    file = RunLayout(root).run
    found = file.read_text(encoding="utf-8") if file.exists() else None
    ours = found is not None and found != task.earlier
    if ours:
        _wait_for(root)
    return task.resume or ours, task.overwrite and not ours and found is not None


def _wait_for(root: Path) -> None:
    """Until nobody holds the folder, or for as long as a process can be expected to take to its end; who then still
    holds it is named by whoever opens the folder."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        try:
            FolderLock(root).release()
            return
        except RunFolderError:
            time.sleep(0.5)

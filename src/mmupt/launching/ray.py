"""A run on a Ray cluster: workers of Ray Train instead of torchrun's processes, begun again when one is lost.

run_on_ray(recipe, Cluster("auto", workers=8), resume=False, overwrite=False)
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from mmupt.errors import ConfigError, MmuptError
from mmupt.launching.desk import Desk
from mmupt.launching.worker import Task, work
from mmupt.runtime.layout import RunLayout

if TYPE_CHECKING:
    from mmupt.recipe import Recipe

_MISSING = """--ray: Ray {what}. Install it on all nodes:

    pip install "mmupt[ray]"
"""
_HANDED_ON = ("PYTHONPATH", "OMP_NUM_THREADS", "HF_HOME", "HF_HUB_OFFLINE")
"""Of the driver's environment what workers have too, where it is set. No tokens: a cluster shows these to everybody."""
_STORE = 100 * 2**20
"""Bytes for objects of a cluster that lives for one run, in which next to nothing travels through Ray."""


@dataclass(frozen=True)
class Cluster:
    """Where to run: `address` is "auto", "local" (a cluster on this machine, for this run) or HOST:PORT. How many
    `workers`, what each of them is given (`gpus` None: one where the cluster has any), and how many times the group
    may begin again."""

    address: str
    workers: int
    max_failures: int = 3
    cpus: int = 1
    gpus: int | None = None


class LostRun(Exception):
    """Workers have failed more often than they may. The text says of what."""


def require_ray() -> None:
    """ConfigError, with the line that installs it, unless a Ray Train is there that this works with."""
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    try:
        import ray.train.collective
        import ray.train.v2.api.data_parallel_trainer  # noqa: F401
    except ImportError as error:
        missing = (error.name or "").partition(".")[0] == "ray" and "ray" not in sys.modules
        what = "is not installed" if missing else f"Train cannot be used ({error}); 2.51 or later is needed"
        raise ConfigError(_MISSING.format(what=what).rstrip()) from None


def run_on_ray(recipe: Recipe, cluster: Cluster, *, resume: bool, overwrite: bool) -> Path:
    """Runs the recipe, whose `run_dir` is written out, on the cluster; returns the run folder.

    Raises MmuptError for what users can mend, as the workers tell it, and LostRun. However it ends, no worker is left.
    """
    require_ray()
    import ray

    assert recipe.run_dir is not None, "the caller has chosen the run folder"
    root = Path(recipe.run_dir)
    begun = RunLayout(root).run
    earlier = begun.read_text(encoding="utf-8") if begun.exists() else None
    _connect(cluster)
    try:
        gpus = _gpus(recipe, cluster)
        _compare_with_what_is_there(cluster, gpus)
        task = Task(recipe, os.getcwd(), resume, overwrite, earlier, gpus)
        _fit(task, cluster, root)
    finally:
        ray.shutdown()
    return root


def _connect(cluster: Cluster) -> None:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ["RAY_TRAIN_ENABLE_PRINT_PATCH"] = "0"  # it would write what is printed twice
    # Seconds for workers to start, each of which imports a lot; Ray's 60 are short on a machine that is busy.
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "600")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the default to come, and no warning about it
    variables = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    how: dict[str, Any] = {"runtime_env": {"env_vars": variables}, "log_to_driver": False, "logging_level": "ERROR"}
    if cluster.address == "local":
        cpus = max(cluster.workers * cluster.cpus, os.cpu_count() or 1)
        how |= {"num_cpus": cpus, "object_store_memory": _STORE, "include_dashboard": False}
    try:
        ray.init(address=cluster.address, **how)
    except (ConnectionError, RuntimeError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"--ray {cluster.address}: no cluster can be reached there ({reason}). Start one with `ray start --head`, "
            'run this on one of its nodes, or write "local" for a cluster on this machine'
        ) from None


def _gpus(recipe: Recipe, cluster: Cluster) -> int:
    import ray

    if cluster.gpus is not None:
        return cluster.gpus
    return int(recipe.model.device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0)


def _compare_with_what_is_there(cluster: Cluster, gpus: int) -> None:
    """ConfigError where a cluster of our own can never hold the workers. Others may grow, so there it is only said."""
    import ray

    there = ray.cluster_resources()
    each = {"CPU": cluster.cpus, "GPU": gpus}
    short = [
        f"{cluster.workers * needed} {kind}s of {int(there.get(kind, 0))}"
        for kind, needed in each.items()
        if cluster.workers * needed > there.get(kind, 0)
    ]
    if not short:
        return
    message = f"--ray {cluster.address}: {cluster.workers} workers need {' and '.join(short)} that the cluster has"
    if cluster.address == "local":
        raise ConfigError(f"{message}; give fewer --workers, or --gpus-per-worker 0")
    print(f"{message} now; waiting for the others", file=sys.stderr, flush=True)


def _fit(task: Task, cluster: Cluster, root: Path) -> None:
    """Ray Train runs the workers; this thread says what they tell, and hears Ctrl-C."""
    import ray
    from ray.train import BackendConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    desk = ray.remote(Desk).options(num_cpus=0, scheduling_strategy=here).remote()
    root.parent.mkdir(parents=True, exist_ok=True)
    # Ray's own notes of the run: all workers have to see them, so they lie beside the run folder, until the end.
    notes = Path(tempfile.mkdtemp(prefix=f".{root.name}.ray-", dir=root.parent)).resolve()
    trainer = DataParallelTrainer(
        work,
        train_loop_config={"task": task, "desk": desk},
        backend_config=BackendConfig(),  # our processes meet by themselves
        scaling_config=ScalingConfig(
            num_workers=cluster.workers,
            use_gpu=task.gpus > 0,
            resources_per_worker={"CPU": cluster.cpus, **({"GPU": task.gpus} if task.gpus else {})},
        ),
        run_config=RunConfig(
            name="run", storage_path=str(notes), failure_config=FailureConfig(max_failures=cluster.max_failures)
        ),
    )
    fitting = _Fitting(trainer)
    try:
        fitting.start()
        while fitting.is_alive():
            fitting.join(0.3)
            _tell(desk)
        _tell(desk)
        verdict = ray.get(desk.verdict.remote())
        if verdict is not None:
            raise MmuptError(verdict)
        if fitting.error is not None:
            raise LostRun(_why(fitting.error, ray.get(desk.failure.remote()), ray.get(desk.attempts.remote())))
    finally:
        shutil.rmtree(notes, ignore_errors=True)


class _Fitting(Thread):
    """Ray Train in a thread of its own: in the main one it would take Ctrl-C for itself."""

    def __init__(self, trainer: Any) -> None:
        super().__init__(daemon=True)
        self._trainer = trainer
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._trainer.fit()
        except Exception as error:
            self.error = error


def _tell(desk: Any) -> None:
    import ray

    for stream, text in ray.get(desk.take.remote()):
        print(text, file=sys.stdout if stream == "out" else sys.stderr, flush=True)


def _why(error: Exception, failure: str | None, attempts: int) -> str:
    """A process that died is why the others have failed; else the first that failed knows best."""
    from ray.exceptions import RayActorError

    failures: dict[int, Exception] = getattr(error, "worker_failures", {})
    dead = [str(rank) for rank, found in sorted(failures.items()) if isinstance(found, RayActorError)]
    if dead:
        what = f"the process of rank {', '.join(dead)} died (killed, or out of memory)"
    else:
        what = failure or f"{type(error).__name__}: {error}"
    times = "once" if attempts == 1 else f"{attempts} times"
    return f"the workers were started {times} and have failed, the last time of this:\n{what.rstrip()}"

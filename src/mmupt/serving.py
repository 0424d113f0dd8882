"""`mmupt serve`: an engine in a process of its own, which a trainer elsewhere brings its weights and asks for
rollouts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmupt.engines.settings import RolloutSettings
from mmupt.errors import ConfigError
from mmupt.recipe import Recipe

if TYPE_CHECKING:
    import torch

    from mmupt.engines.server.backends import Backend


def served_rollouts(recipe: Recipe, stage: str | None) -> RolloutSettings:
    """`[rollout]` of the stages that sample from servers, or of the one called `stage`. ConfigError where there are
    none, or where they want servers of different kinds."""
    found: dict[str, RolloutSettings] = {}
    for one in recipe.stages:
        settings = getattr(one, "rollout", None)
        if isinstance(settings, RolloutSettings) and settings.engine == "server":
            found[one.name] = settings
    if stage is not None:
        found = {name: settings for name, settings in found.items() if name == stage}
    if not found:
        which = f'stage "{stage}" of {recipe.name} does not sample' if stage else f"no stage of {recipe.name} samples"
        raise ConfigError(
            f'{which} from servers; set rollout.engine = "server" and rollout.servers = ["http://host:port", ...] in '
            "the recipe that trainer and servers share"
        )
    (first, settings), *others = found.items()
    for name, other in others:
        if (other.vllm, other.server) != (settings.vllm, settings.server):
            raise ConfigError(
                f"the stages {first} and {name} of {recipe.name} want servers of different kinds (rollout.vllm or "
                "rollout.server); choose one with --stage NAME"
            )
    return settings


def serve(
    recipe: Recipe,
    settings: RolloutSettings,
    *,
    host: str,
    port: int,
    folder: Path | None = None,
    ready: Callable[[str], None],
) -> None:
    """Serve the recipe's model with the engine of `settings.server` until interrupted. `folder` is where this machine
    finds what the trainer calls `rollout.server.folder`; `ready` is told the address once it is listened on.

    Raises ConfigError without a secret, EngineError for an engine that is missing or a port that is taken.
    """
    from mmupt.engines.server.app import App, Worker
    from mmupt.engines.server.desk import Desk
    from mmupt.engines.server.secret import read_token

    token = read_token(settings.server)
    if settings.server.weights == "folder" and folder is None:
        folder = Path(settings.server.folder or "")
    with tempfile.TemporaryDirectory(prefix="mmupt-serve-") as own:
        backend = _backend(recipe, settings, Path(own))
        desk, worker = Desk(backend, folder=folder, spool=Path(own) / "weights"), Worker()
        app = App(desk, worker, token, host, port)
        app.start()
        ready(app.url)
        try:
            worker.run()
        finally:
            app.stop()
            desk.close()


def _backend(recipe: Recipe, settings: RolloutSettings, folder: Path) -> Backend:
    from mmupt.engines.choice import check_vllm
    from mmupt.engines.server.backends import HFBackend, VLLMBackend
    from mmupt.models.loading import load_family, load_model
    from mmupt.runtime.device import pick_device
    from mmupt.sources import WORLD
    from mmupt.world.texts import world_texts
    from mmupt.world.tiny_model import build_world_model

    device = pick_device(recipe.model.device)
    path = recipe.model.path
    if path.startswith(WORLD):
        path = str(build_world_model(path, folder / "start", world_texts(recipe.world), recipe.seed))
    model = recipe.model.model_copy(update={"gradient_checkpointing": False, "freeze": ()})
    if settings.server.engine == "hf":
        return HFBackend(load_model(path, model, device))
    family = load_family(path, model)
    check_vllm(family)
    dtype: torch.dtype = _dtype(recipe)
    return VLLMBackend(family, _skeleton(path, recipe), device, dtype, settings.vllm)


def _skeleton(path: str, recipe: Recipe) -> Any:
    """The model without its weights, which the trainer brings."""
    import torch
    import transformers

    from mmupt.models.families import FAMILIES

    revision = recipe.model.revision if path == recipe.model.path else None
    config: Any = transformers.AutoConfig.from_pretrained(path, revision=revision)
    with torch.device("meta"):
        return getattr(transformers, FAMILIES[config.model_type].model_class)(config)


def _dtype(recipe: Recipe) -> torch.dtype:
    import torch

    found: torch.dtype = getattr(torch, recipe.model.dtype)
    return found

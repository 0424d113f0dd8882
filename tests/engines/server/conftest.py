"""Servers of the HF engine in threads of this process, spoken to over real connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch

from mmupt.algo.packing import PackItem, pack
from mmupt.engines.base import Request, Sampling
from mmupt.engines.finished import Finished
from mmupt.engines.server.app import App, Worker
from mmupt.engines.server.backends import HFBackend
from mmupt.engines.server.desk import Desk
from mmupt.engines.server.load import Load
from mmupt.engines.server.pool import ServerPool
from mmupt.engines.settings import RolloutSettings, ServerSettings
from mmupt.models.forward import no_grad_logprobs
from mmupt.models.loading import LoadedModel, load_model
from mmupt.models.settings import ModelSettings
from mmupt.types import EncodedPrompt, Rollout

TOKEN = "a-secret-of-tests"
LOAD = Load(tokens=512, prompts=4, group=4, pixels=50_000)
SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_new_tokens=16)


class Backend(HFBackend):
    """Remembers what it was asked; `before` may get in the way."""

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__(loaded)
        self.asked: list[list[tuple[int, ...]]] = []
        self.before: Callable[[], None] = lambda: None

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[list[Finished]]:
        self.asked.append([request.seeds for request in requests])
        self.before()
        return super().generate(requests, sampling)


@dataclass
class Running:
    """One server. `start` after `stop` is the same machine anew, which remembers nothing."""

    backend: Backend
    spool: Path
    folder: Path | None = None
    port: int = 0
    calls: list[str] = field(default_factory=list)

    def start(self) -> Running:
        self.desk = Desk(self.backend, folder=self.folder, spool=self.spool)
        for name in ("open", "missing", "keep", "take", "generate"):
            setattr(self.desk, name, self._noted(name, getattr(self.desk, name)))
        self.worker = Worker()
        self.app = App(self.desk, self.worker, TOKEN, "127.0.0.1", self.port)
        self.port = self.app.server_address[1]
        self.thread = Thread(target=self.worker.run, daemon=True)
        self.thread.start()
        self.app.start()
        return self

    def stop(self) -> None:
        self.app.stop()
        self.worker.stop()
        self.thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _noted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(table: dict[str, Any], tensors: Any) -> Any:
            self.calls.append(f"{name} {len(table['pictures'])}" if name == "keep" else name)
            return call(table, tensors)

        return noted


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMUPT_SERVER_TOKEN", TOKEN)


@pytest.fixture
def servers(tiny_folder: Path, tmp_path: Path) -> Iterator[Callable[..., list[Running]]]:
    """Starts servers whose weights are not the trainer's."""
    started: list[Running] = []

    def start(count: int, folder: Path | None = None) -> list[Running]:
        for number in range(len(started), len(started) + count):
            loaded = load_model(str(tiny_folder), ModelSettings(path=str(tiny_folder)), torch.device("cpu"))
            with torch.no_grad():
                for parameter in loaded.model.parameters():
                    parameter.fill_(torch.nan)
            started.append(Running(Backend(loaded), tmp_path / f"spool-{number}", folder).start())
        return started[-count:]

    yield start
    for running in started:
        running.stop()


@pytest.fixture
def pool_of() -> Iterator[Callable[..., ServerPool]]:
    """The trainer's side of some servers."""
    made: list[ServerPool] = []

    def pool(running: Sequence[Running], load: Load = LOAD, **settings: Any) -> ServerPool:
        settings = {"pause": 0.01, "timeout": 60.0, "retries": 2, **settings}
        rollout = RolloutSettings(
            engine="server", servers=tuple(r.url for r in running), server=ServerSettings(**settings)
        )
        made.append(ServerPool(rollout, load))
        return made[-1]

    yield pool
    for one in made:
        one.close()


@pytest.fixture
def requests(encode: Callable[..., EncodedPrompt]) -> list[Request]:
    """Two pictures, one, the same one again, none; ragged groups."""
    rng = np.random.default_rng(0)
    one = encode(rng, "Add all dice.", [(56, 56)])
    prompts = [
        one,
        encode(rng, "How many red dice are here, and how many blue?", [(84, 112), (56, 56)]),
        one,
        encode(rng, "Largest die?", []),
    ]
    return [Request(p, tuple(range(10 * i, 10 * i + 2 + i))) for i, p in enumerate(prompts)]


@pytest.fixture
def mismatch() -> Callable[..., float]:
    """The largest difference between the log-probs that rollouts carry and those that the trainer's forward finds."""

    def _mismatch(loaded: LoadedModel, asked: Sequence[Request], groups: Sequence[Sequence[Rollout]]) -> float:
        items = [PackItem(r.encoded, [x.token_ids for x in g]) for r, g in zip(asked, groups, strict=True)]
        expected = no_grad_logprobs(loaded, pack(items), temperature=SAMPLING.temperature, chunk=1024)
        reported = torch.tensor([p for group in groups for rollout in group for p in rollout.logprobs])
        return float((expected - reported).abs().max())

    return _mismatch


def shake(loaded: LoadedModel, seed: int) -> None:
    """What an update does, and more: every trained weight moves."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=rng))


def tokens(groups: Sequence[Sequence[Rollout]]) -> list[list[tuple[int, ...]]]:
    return [[rollout.token_ids for rollout in group] for group in groups]

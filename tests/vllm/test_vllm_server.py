"""vLLM behind `mmupt serve`, in a process of its own; the trainer's side needs none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import tomli_w
from tests.vllm.conftest import shake

from mmupt.engines.base import Request, Sampling
from mmupt.engines.hf import HFEngine
from mmupt.engines.server.engine import ServerEngine
from mmupt.engines.server.load import Load
from mmupt.engines.server.pool import ServerPool
from mmupt.engines.settings import RolloutSettings, ServerSettings
from mmupt.models.loading import LoadedModel

pytestmark = pytest.mark.skipif(
    find_spec("vllm") is None, reason="vLLM is not installed here; `make test-vllm` has an environment with it"
)
SAMPLING = Sampling(temperature=0.7, top_p=0.9, max_new_tokens=16)
CLOSE, FAR = 1e-4, 1e-2


@pytest.fixture
def url(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("MMUPT_SERVER_TOKEN", "a-secret-of-tests")
    rollout = {"engine": "server", "servers": ["http://127.0.0.1:1"], "vllm": {"kv_cache_mib": 64}}
    stage = {"kind": "upt", "name": "upt", "steps": 1, "data": {"path": "world:unlabeled"}}
    path = tmp_path / "served.toml"
    table = {"name": "served", "model": {"path": str(tiny_folder)}, "rollout": rollout, "stages": [stage]}
    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    command = [sys.executable, "-m", "mmupt.cli", "serve", str(path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "with the vllm engine at http://127.0.0.1:" in line
        yield line.split()[-1]
        process.terminate()


@pytest.mark.parametrize("way", ["http", "gloo"])
def test_rollouts_are_those_of_the_newest_weights(
    tiny: LoadedModel, requests: list[Request], mismatch: Callable[..., float], url: str, way: str
) -> None:
    own = ServerSettings.model_validate({"weights": way, "pause": 0.1, "timeout": 250.0})
    settings = RolloutSettings(engine="server", servers=(url,), server=own)
    pool = ServerPool(settings, Load(tokens=512, prompts=8, group=4, pixels=50_000))
    engine = ServerEngine(tiny, pool)
    for seed in range(2):
        groups = engine.generate(requests, SAMPLING)
        assert mismatch(tiny, requests, groups, SAMPLING) < CLOSE
        expected = HFEngine(tiny).generate(requests, SAMPLING)
        assert [[x.token_ids for x in g] for g in groups] == [[x.token_ids for x in g] for g in expected]
        engine.release()
        shake(tiny, seed)
        assert mismatch(tiny, requests, groups, SAMPLING) > FAR
    pool.close()

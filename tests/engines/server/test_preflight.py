"""What is wrong with the servers is said before a run begins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tests.engines.server.conftest import Running

from mmupt.data.settings import PromptSettings
from mmupt.engines.choice import Engines, check_engine
from mmupt.engines.server.engine import ServerEngine
from mmupt.engines.settings import RolloutSettings, ServerSettings
from mmupt.errors import ConfigError, EngineError
from mmupt.models.loading import LoadedModel
from mmupt.runtime.phases import PhaseClock

PROMPT = PromptSettings(max_tokens=200, min_pixels=3136, max_pixels=10_000)


def settings_of(*urls: str, **own: Any) -> RolloutSettings:
    return RolloutSettings(
        engine="server", servers=urls, group_size=4, prompts_at_once=3, max_new_tokens=100, server=ServerSettings(**own)
    )


def test_servers_that_fit_pass(
    tiny: LoadedModel, servers: Callable[..., list[Running]], caplog: pytest.LogCaptureFixture
) -> None:
    one, other = servers(2)
    check_engine(settings_of(one.url, other.url), tiny.family)
    assert caplog.text == "" and one.calls == [], "nobody is served yet"
    other.stop()
    check_engine(settings_of(one.url, other.url), tiny.family)
    assert f"rollout server {other.url}: " in caplog.text
    one.stop()
    with pytest.raises(EngineError, match=rf"no rollout server answers \({one.url}: .*{other.url}: .*mmupt serve"):
        check_engine(settings_of(one.url, other.url), tiny.family)
    one.start()
    other.start()


def test_what_does_not_fit_is_named(
    tiny: LoadedModel, servers: Callable[..., list[Running]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = servers(1)
    tiny.family.tokenizer.add_tokens(["zebra"])
    with pytest.raises(EngineError, match=f"{one.url} does not serve the model of this run: tokenizer: "):
        check_engine(settings_of(one.url), tiny.family)
    monkeypatch.setenv("MMUPT_SERVER_TOKEN", "another-secret-of-tests")
    with pytest.raises(EngineError, match="refuses the secret"):
        check_engine(settings_of(one.url), tiny.family)
    monkeypatch.delenv("MMUPT_SERVER_TOKEN")
    with pytest.raises(ConfigError, match="MMUPT_SERVER_TOKEN holds nothing"):
        check_engine(settings_of(one.url), tiny.family)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_nccl_without_a_gpu_is_refused(tiny: LoadedModel) -> None:
    with pytest.raises(EngineError, match="goes from GPU to GPU"):
        check_engine(settings_of("http://127.0.0.1:1", weights="nccl"), tiny.family)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"engine": "server"}, "needs servers"),
        ({"servers": ["127.0.0.1:8600"]}, "is no address"),
        ({"servers": ["http://127.0.0.1"]}, "is no address"),
        ({"servers": ["http://127.0.0.1:86000"]}, "is no address"),
        ({"servers": ["http://user@a:1"]}, "is no address"),
        ({"servers": ["http://a:1", "http://a:1"]}, "twice"),
        ({"server": {"weights": "folder"}}, "needs the folder"),
    ],
)
def test_settings_that_mean_nothing_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RolloutSettings.model_validate(table)


def test_stages_share_their_servers_where_they_ask_the_same(tiny: LoadedModel, tmp_path: Path) -> None:
    """Nothing is spoken to."""
    settings = settings_of("http://127.0.0.1:1", "https://10.0.0.9:8600")
    with Engines() as engines:
        first, second = (engines.of(settings, PROMPT, PhaseClock())(tiny) for _ in range(2))
        longer = engines.of(settings, PROMPT, PhaseClock(), 101)(tiny)
        assert isinstance(first, ServerEngine) and isinstance(second, ServerEngine) and isinstance(longer, ServerEngine)
        assert first.pool is second.pool is not longer.pool
        assert (first.pool.load.tokens, longer.pool.load.tokens) == (300, 301)
        assert (first.pool.load.prompts, first.pool.load.group, first.pool.load.pixels) == (3, 4, 10_000)

"""Rollouts from servers are those of the HF engine, however many there are, whatever the way of the weights, and
whoever falls over meanwhile; and never from weights of before."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engines.server.conftest import SAMPLING, Running, shake, tokens

from mmupt.engines.base import Request
from mmupt.engines.hf import HFEngine
from mmupt.engines.server import desk, facts, secret
from mmupt.engines.server.engine import ServerEngine
from mmupt.engines.server.pool import ServerPool, divided
from mmupt.engines.settings import ServerSettings
from mmupt.errors import ConfigError, EngineError, RunFolderError
from mmupt.models import weights as model_weights
from mmupt.models.loading import LoadedModel
from mmupt.models.lora import adapter_off, attach_adapter
from mmupt.models.settings import LoraSettings

Servers = Callable[..., list[Running]]
PoolOf = Callable[..., ServerPool]
Mismatch = Callable[..., float]
CLOSE, FAR = 1e-5, 1e-2


@pytest.mark.parametrize("count", [1, 3])
def test_the_same_rollouts_however_many_servers(
    tiny: LoadedModel, requests: list[Request], servers: Servers, pool_of: PoolOf, mismatch: Mismatch, count: int
) -> None:
    running = servers(count)
    groups = ServerEngine(tiny, pool_of(running)).generate(requests, SAMPLING)
    expected = HFEngine(tiny).generate(requests, SAMPLING)
    assert tokens(groups) == tokens(expected)
    assert [[(x.text, x.stop) for x in g] for g in groups] == [[(x.text, x.stop) for x in g] for g in expected]
    assert mismatch(tiny, requests, groups) < CLOSE
    asked = [seeds for one in running for call in one.backend.asked for seeds in call]
    assert sorted(asked) == sorted(request.seeds for request in requests), "whole groups, each once"
    assert all(len(one.backend.asked) == 1 for one in running)


@pytest.mark.parametrize("way", ["http", "folder", "gloo"])
def test_new_weights_are_taken_over_whole(
    tiny: LoadedModel,
    requests: list[Request],
    servers: Servers,
    pool_of: PoolOf,
    mismatch: Mismatch,
    tmp_path: Path,
    way: str,
) -> None:
    """The vision tower's too: pictures are kept, what the tower saw in them is not."""
    shared = tmp_path / "shared" if way == "folder" else None
    running = servers(2, shared)
    pool = pool_of(running, weights=way, **({"folder": str(shared)} if shared else {}))
    engine = ServerEngine(tiny, pool)
    for seed in range(3):
        groups = engine.generate(requests, SAMPLING)
        assert mismatch(tiny, requests, groups) < CLOSE
        engine.release()
        shake(tiny, seed)
        assert mismatch(tiny, requests, groups) > FAR, "the test needs weights that matter"
    assert all(one.calls.count("take") == 3 and one.calls.count("open") == 1 for one in running)
    for one in running:
        assert not any(path.is_file() for path in one.spool.rglob("*")), "what has arrived is not kept"
    if shared is not None:
        (written,) = (path for path in shared.iterdir() if path.is_dir())
        assert [folder.name for folder in written.iterdir()] == ["3"], "nor are versions of before"
        with pytest.raises(RunFolderError, match="in use"):
            pool_of(running, weights=way, folder=str(shared))
        pool.close()
        assert not written.exists()


def test_weights_of_others_come_and_go(
    tiny: LoadedModel, requests: list[Request], servers: Servers, pool_of: PoolOf, mismatch: Mismatch
) -> None:
    pool = pool_of(servers(2))
    other = replace(tiny, model=copy.deepcopy(tiny.model))
    shake(other, 0)
    policy, teacher = ServerEngine(tiny, pool), ServerEngine(other, pool)
    for engine in (policy, teacher, policy):
        groups = engine.generate(requests, SAMPLING)
        assert mismatch(engine.loaded, requests, groups) < CLOSE
    assert mismatch(other, requests, groups) > FAR


def test_an_adapter_is_merged_on_its_way(
    tiny: LoadedModel, requests: list[Request], servers: Servers, pool_of: PoolOf, mismatch: Mismatch
) -> None:
    adapted = attach_adapter(tiny, LoraSettings(rank=4), seed=0)
    shake(adapted, 0)
    pool = pool_of(servers(1))
    with_adapter = ServerEngine(adapted, pool).generate(requests, SAMPLING)
    assert mismatch(adapted, requests, with_adapter) < CLOSE
    with adapter_off(adapted.model):
        start = ServerEngine(adapted, pool).generate(requests, SAMPLING)
        assert mismatch(adapted, requests, start) < CLOSE
        assert mismatch(adapted, requests, with_adapter) > FAR


def test_pictures_are_sent_once(tiny: LoadedModel, requests: list[Request], servers: Servers, pool_of: PoolOf) -> None:
    (one,) = servers(1)
    engine = ServerEngine(tiny, pool_of([one]))
    first = engine.generate(requests, SAMPLING)
    engine.release()
    assert tokens(engine.generate(requests, SAMPLING)) == tokens(first)
    assert [call for call in one.calls if call.startswith("keep")] == ["keep 3"], "three different ones, one message"


def test_a_memory_too_small_for_a_step_says_so(
    tiny: LoadedModel, requests: list[Request], servers: Servers, pool_of: PoolOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = servers(1)
    engine = ServerEngine(tiny, pool_of([one]))
    engine.generate(requests[3:], SAMPLING)
    one.desk._pictures.capacity = 100_000
    with pytest.raises(EngineError, match=r"of 3 pictures .* raise rollout\.server\.picture_cache_mib"):
        engine.generate(requests, SAMPLING)


class TestTrouble:
    def test_a_broken_connection_is_tried_again_with_the_same_seeds(
        self, tiny: LoadedModel, requests: list[Request], servers: Servers, pool_of: PoolOf
    ) -> None:
        running = servers(2)
        running[0].backend.before = _breaks(2)
        groups = ServerEngine(tiny, pool_of(running)).generate(requests, SAMPLING)
        assert tokens(groups) == tokens(HFEngine(tiny).generate(requests, SAMPLING))
        first, second, third = running[0].backend.asked
        assert first == second == third and len(running[1].backend.asked) == 1

    def test_groups_of_a_dead_server_go_to_the_others(
        self,
        tiny: LoadedModel,
        requests: list[Request],
        servers: Servers,
        pool_of: PoolOf,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """It dies in the middle of its work, and is back with the next weights."""
        running = servers(3)
        engine = ServerEngine(tiny, pool_of(running))
        running[1].backend.before = _breaks(99)
        assert tokens(engine.generate(requests, SAMPLING)) == tokens(HFEngine(tiny).generate(requests, SAMPLING))
        assert f"rollout server {running[1].url} is left out until there are new weights" in caplog.text
        assert len(running[0].backend.asked) + len(running[2].backend.asked) > 2, "somebody was asked once more"
        before = len(running[1].backend.asked)
        engine.generate(requests, SAMPLING)
        assert len(running[1].backend.asked) == before, "not asked while it is left out"
        running[1].backend.before = lambda: None
        engine.release()
        shake(tiny, 0)
        assert tokens(engine.generate(requests, SAMPLING)) == tokens(HFEngine(tiny).generate(requests, SAMPLING))
        assert len(running[1].backend.asked) == before + 1

    def test_one_that_was_never_there_is_missed_by_nobody(
        self, tiny: LoadedModel, requests: list[Request], servers: Servers, pool_of: PoolOf
    ) -> None:
        running = servers(2)
        running[0].stop()
        groups = ServerEngine(tiny, pool_of(running)).generate(requests, SAMPLING)
        assert tokens(groups) == tokens(HFEngine(tiny).generate(requests, SAMPLING))
        running[0].start()

    def test_all_dead_is_an_error_that_names_them(
        self, tiny: LoadedModel, requests: list[Request], servers: Servers, pool_of: PoolOf
    ) -> None:
        running = servers(2)
        engine = ServerEngine(tiny, pool_of(running))
        engine.generate(requests, SAMPLING)
        for one in running:
            one.stop()
        for _ in range(2):  # in the middle of a step, and behind an update
            with pytest.raises(EngineError, match=rf"{running[0].url}: .*refused.*{running[1].url}: .*mmupt serve"):
                engine.generate(requests, SAMPLING)
            engine.release()
        for one in running:
            one.start()

    @pytest.mark.parametrize("way", ["http", "gloo"])
    def test_one_that_was_started_anew_is_brought_everything_again(
        self,
        tiny: LoadedModel,
        requests: list[Request],
        servers: Servers,
        pool_of: PoolOf,
        mismatch: Mismatch,
        way: str,
    ) -> None:
        """Within a step, and behind an update."""
        running = servers(2)
        engine = ServerEngine(tiny, pool_of(running, weights=way))
        engine.generate(requests, SAMPLING)
        for update in (False, True):
            running[0].stop()
            with torch.no_grad():
                for parameter in running[0].backend._loaded.model.parameters():
                    parameter.fill_(torch.nan)
            running[0].start()
            if update:
                engine.release()
                shake(tiny, 0)
            groups = engine.generate(requests, SAMPLING)
            assert mismatch(tiny, requests, groups) < CLOSE
            assert tokens(groups) == tokens(HFEngine(tiny).generate(requests, SAMPLING))
        assert running[0].calls.count("open") == 3 and running[1].calls.count("open") == 1

    def test_another_version_is_refused_not_sampled_from(
        self, tiny: LoadedModel, requests: list[Request], servers: Servers, pool_of: PoolOf, mismatch: Mismatch
    ) -> None:
        """Whatever happened to the server: it is brought the weights of the request again."""
        (one,) = servers(1)
        engine = ServerEngine(tiny, pool_of([one]))
        engine.generate(requests, SAMPLING)
        one.desk._version = "77"
        groups = engine.generate(requests, SAMPLING)
        assert mismatch(tiny, requests, groups) < CLOSE and one.calls.count("take") == 2

    def test_weights_that_do_not_arrive_whole_stop_the_run(
        self,
        tiny: LoadedModel,
        requests: list[Request],
        servers: Servers,
        pool_of: PoolOf,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        running = servers(2)
        engine = ServerEngine(tiny, pool_of(running))
        engine.generate(requests, SAMPLING)
        engine.release()
        shake(tiny, 0)
        monkeypatch.setattr(running[1].backend, "take", lambda weights: list(weights()))  # says yes, and does nothing
        with pytest.raises(EngineError, match=f"rollout server {running[1].url} samples from other weights"):
            engine.generate(requests, SAMPLING)

    def test_weights_that_are_not_all_there_are_refused(
        self,
        tiny: LoadedModel,
        requests: list[Request],
        servers: Servers,
        pool_of: PoolOf,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        whole = model_weights.plain_weights
        monkeypatch.setattr(model_weights, "plain_weights", lambda model: iter(list(whole(model))[:-1]))
        with pytest.raises(EngineError, match="1 weights have not come"):
            ServerEngine(tiny, pool_of(servers(1))).generate(requests, SAMPLING)

    def test_an_engine_that_fails_says_why_and_is_not_asked_again(
        self, tiny: LoadedModel, requests: list[Request], servers: Servers, pool_of: PoolOf
    ) -> None:
        running = servers(2)

        def fails() -> None:
            raise RuntimeError("out of memory")

        running[1].backend.before = fails
        with pytest.raises(EngineError, match=rf"{running[1].url} answered 500: RuntimeError: out of memory"):
            ServerEngine(tiny, pool_of(running)).generate(requests, SAMPLING)
        assert len(running[1].backend.asked) == 1


class TestWhoIsServed:
    def test_another_secret_is_refused(
        self,
        tiny: LoadedModel,
        requests: list[Request],
        servers: Servers,
        pool_of: PoolOf,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        running = servers(1)
        monkeypatch.setenv("MMUPT_SERVER_TOKEN", "another-secret-of-the-same-kind")
        with pytest.raises(EngineError, match="refuses the secret"):
            ServerEngine(tiny, pool_of(running)).generate(requests, SAMPLING)
        assert running[0].calls == []

    def test_no_secret_is_a_message(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for word in ("", "short", "sixteen letters and blanks", "sechzehn-und-mehr-ü"):
            monkeypatch.setenv("MMUPT_SERVER_TOKEN", word)
            with pytest.raises(ConfigError, match="environment variable MMUPT_SERVER_TOKEN"):
                secret.read_token(ServerSettings())
        file = tmp_path / "secret"
        with pytest.raises(ConfigError, match=r"token_file\) cannot be read"):
            secret.read_token(ServerSettings(token_file=str(file)))
        file.write_text("from-a-file-of-its-own\n")
        assert secret.read_token(ServerSettings(token_file=str(file))) == "from-a-file-of-its-own"

    @pytest.mark.parametrize(
        ("change", "difference"),
        [
            ({"version": "0.0.9"}, "mmupt: 0.0.9 here, "),
            ({"ends": {3}}, r"ids that end a rollout: \[3\] here, "),
            ({"banned": (1, 2)}, r"ids that are never sampled: \[1, 2\] here, "),
            ({"config": ("rope_parameters", {"rope_theta": 1.0})}, r"rope_parameters.rope_theta: 1.0 here, "),
            ({"word": "zebra"}, "tokenizer: "),
        ],
        ids=lambda value: "",
    )
    def test_what_differs_is_named(
        self,
        tiny: LoadedModel,
        requests: list[Request],
        servers: Servers,
        pool_of: PoolOf,
        monkeypatch: pytest.MonkeyPatch,
        change: dict[str, Any],
        difference: str,
    ) -> None:
        running = servers(1)
        model: Any = tiny.model
        match change:
            case {"version": version}:
                monkeypatch.setattr(facts, "__version__", version)
            case {"ends": ends}:
                tiny.family.end_ids = frozenset(ends)
            case {"banned": banned}:
                tiny.family.banned_ids = banned
            case {"config": (key, value)}:
                setattr(model.config.get_text_config(), key, value)
            case {"word": word}:
                tiny.family.tokenizer.add_tokens([word])
        if "version" in change:  # one module serves both sides here
            own = facts.facts
            monkeypatch.setattr(desk, "facts", lambda *a: {**own(*a), "mmupt": "0.1.0"})
        with pytest.raises(EngineError, match=f"do not serve one model: .*{difference}"):
            ServerEngine(tiny, pool_of(running)).generate(requests, SAMPLING)
        assert "take" not in running[0].calls

    def test_a_model_of_another_size_is_refused(
        self, tiny: LoadedModel, requests: list[Request], servers: Servers, pool_of: PoolOf
    ) -> None:
        running = servers(1)
        language: Any = tiny.model
        language.model.language_model.norm.weight = torch.nn.Parameter(torch.ones(3))
        with pytest.raises(EngineError, match=r"weight model\.language_model\.norm\.weight: \[3\] here, \[\d+\] there"):
            ServerEngine(tiny, pool_of(running)).generate(requests, SAMPLING)

    def test_a_run_that_was_taken_over_from_stops(
        self, tiny: LoadedModel, requests: list[Request], servers: Servers, pool_of: PoolOf
    ) -> None:
        """A resumed run must get its servers back from the one that was killed; two at once must not take turns."""
        running = servers(1)
        first, second = (ServerEngine(tiny, pool_of(running)) for _ in range(2))
        first.generate(requests, SAMPLING)
        second.generate(requests, SAMPLING)
        with pytest.raises(EngineError, match="another run has taken this server over"):
            first.generate(requests, SAMPLING)
        second.generate(requests, SAMPLING)

    def test_another_precision_than_the_others_is_refused(
        self, tiny: LoadedModel, requests: list[Request], servers: Servers, pool_of: PoolOf
    ) -> None:
        running = servers(2)
        running[1].backend.dtype = torch.bfloat16
        with pytest.raises(EngineError, match="start all of them with the same recipe"):
            ServerEngine(tiny, pool_of(running)).generate(requests, SAMPLING)


def test_time_and_tokens_are_counted(
    tiny: LoadedModel, requests: list[Request], servers: Servers, pool_of: PoolOf
) -> None:
    engine = ServerEngine(tiny, pool_of(servers(1)))
    engine.clock.start()
    empty = [replace(requests[0], seeds=()), *requests[2:]]
    groups = engine.generate(empty, SAMPLING)
    assert [len(group) for group in groups] == [0, 4, 5]
    phases = engine.clock.take().phases
    assert phases["decode"].tokens == sum(len(rollout.token_ids) for group in groups for rollout in group)
    assert engine.generate([], SAMPLING) == [] and engine.generate(empty[:1], SAMPLING) == [()]


@pytest.mark.parametrize("shares", [1, 2, 5])
def test_work_is_divided_evenly(shares: int) -> None:
    costs = [float(cost) for cost in (900, 100, 450, 460, 890, 10, 300, 310)]
    found = divided(costs, shares)
    assert sorted(index for share in found for index in share) == list(range(len(costs)))
    loads = [sum(costs[index] for index in share) for share in found]
    assert max(loads) <= max(max(costs), sum(costs) / shares * 1.1)


def _breaks(times: int) -> Callable[[], None]:
    """The connection breaks, in the middle of the work, so many times."""
    left = [times]

    def before() -> None:
        if left[0]:
            left[0] -= 1
            raise ConnectionError("the cable")

    return before

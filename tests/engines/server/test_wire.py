"""What is said arrives, bit for bit, and nothing else is taken for something that was said."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable

import numpy as np
import pytest
import torch
from safetensors.torch import save

from mmupt.engines.base import Request
from mmupt.engines.finished import Finished
from mmupt.engines.server import wire
from mmupt.engines.server.wire import Garbled
from mmupt.types import EncodedPrompt


def test_tables_and_tensors_arrive() -> None:
    whole = torch.arange(24.0).view(2, 3, 4)
    table = {"word": "naïve ✓", "number": 2**63 - 1, "float": 0.1, "nested": [{"a": None}]}
    said = wire.message(table, {"view": whole[:, 1], "same": whole[:, 1], "expanded": whole[0, 0].expand(3, 4)})
    heard, tensors = wire.read(said)
    assert heard == table
    assert torch.equal(tensors["view"], whole[:, 1]) and torch.equal(tensors["same"], whole[:, 1])
    assert tensors["expanded"].shape == (3, 4)
    assert wire.read(wire.message({})) == ({}, {})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 8,
        b"<html>not found</html>",
        pickle.dumps({"a": 1}),
        save({"a": torch.ones(1)}),
        save({}, metadata={"mmupt": "[1]"}),
        save({}, metadata={"mmupt": "no JSON"}),
        wire.message({"a": 1}, {"b": torch.ones(3)})[:-1],
        (2**62).to_bytes(8, "little") + b"{}",
    ],
)
def test_everything_else_is_garbled(data: bytes) -> None:
    with pytest.raises(Garbled):
        wire.read(data)


def test_requests_arrive_whole(requests: list[Request], encode: Callable[..., EncodedPrompt]) -> None:
    blocked = encode(np.random.default_rng(1), "Largest die?", [])
    blocked = EncodedPrompt(blocked.token_ids, blocked.positions_3P, blocked.next_position, (), ((1, 3), (4, 6)))
    asked = [*requests, Request(blocked, (2**63 - 1, 0))]
    rows, arrays = wire.pack_requests(asked)
    pictures = {p.key: p for request in asked for p in request.encoded.pictures}
    picture_rows, picture_tensors = wire.pack_pictures(list(pictures.values()))
    heard, tensors = wire.read(wire.message({"rows": rows, "pictures": picture_rows}, {**arrays, **picture_tensors}))
    kept = {picture.key: picture for picture in wire.unpack_pictures(heard["pictures"], tensors)}
    for before, after in zip(asked, wire.unpack_requests(heard["rows"], tensors, kept), strict=True):
        assert after.seeds == before.seeds
        one, other = before.encoded, after.encoded
        assert torch.equal(one.token_ids, other.token_ids) and torch.equal(one.positions_3P, other.positions_3P)
        assert (one.next_position, one.blocks) == (other.next_position, other.blocks)
        assert [p.key for p in one.pictures] == [p.key for p in other.pictures]
        for mine, its in zip(one.pictures, other.pictures, strict=True):
            assert mine.tensors.keys() == its.tensors.keys()
            assert all(torch.equal(mine.tensors[name], its.tensors[name]) for name in mine.tensors)


def test_parts_that_do_not_fit_are_garbled(requests: list[Request]) -> None:
    rows, arrays = wire.pack_requests(requests[3:])
    for changed, tensors in (
        ([{**rows[0], "length": 1}], arrays),
        ([{**rows[0], "pictures": ["unknown"]}], arrays),
        ([{"length": rows[0]["length"]}], arrays),
        (rows, {"ids": arrays["ids"]}),
    ):
        with pytest.raises(Garbled):
            wire.unpack_requests(changed, tensors, {})
    with pytest.raises(Garbled):
        wire.unpack_rollouts([[{"length": 1, "stop": "tired"}]], {"ids": torch.ones(1), "logprobs": torch.ones(1)})
    with pytest.raises(Garbled):
        wire.unpack_pictures([{"key": "a", "tensors": ["pixel_values"]}], {})


def test_rollouts_arrive_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    groups = [
        [
            Finished(rng.integers(0, 150_000, n).tolist(), (-rng.random(n) / 3).tolist(), "end" if n % 2 else "length")
            for n in sizes
        ]
        for sizes in ([3, 1, 8], [], [2])
    ]
    rows, tensors = wire.pack_rollouts(groups)
    heard, arrays = wire.read(wire.message({"groups": json.loads(json.dumps(rows))}, tensors))
    assert wire.unpack_rollouts(heard["groups"], arrays) == groups
    assert wire.unpack_rollouts(*wire.pack_rollouts([[]])) == [[]]

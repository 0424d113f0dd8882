"""`mmupt eval --benchmarks` end to end: real questions, the tiny model, a kill in the middle, and a judge."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mmupt.errors import ConfigError
from mmupt.evals.records import read_records
from mmupt.recipe import load_recipe
from mmupt.runtime.layout import RunLayout

FILES = {
    "mathvision": "mathvision/testmini.jsonl",
    "wemath": "wemath/testmini_sample.jsonl",
    "tabmwp": "tabmwp/test.jsonl",
    "puzzlevqa": "puzzlevqa/test.jsonl",
}
SMALL = ["evaluation.max_new_tokens=8", "prompt.max_pixels=12544", 'prompt.suffix=""', "evaluation.prompts_at_once=3"]


def command(folder: Path, benchmarks: str, out: Path, *more: str, limit: int = 7) -> list[str]:
    names = ",".join(f"{name}={folder / FILES[name]}" for name in benchmarks.split(","))
    sets = [part for value in SMALL for part in ("--set", value)]
    return [sys.executable, "-m", "mmupt.cli", "eval", "--model", "world:tiny", "--benchmarks", names, "--k", "2",
            "--limit", str(limit), "--out", str(out), *sets, *more]  # fmt: skip


def run(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **environment}
    return subprocess.run(arguments, env=env, capture_output=True, text=True, timeout=240, check=False)


def results(out: Path) -> dict[str, dict[str, Any]]:
    stages = json.loads(RunLayout(out).summary.read_text())["stages"]
    return {entry["set"]: entry for entry in stages}


def test_four_benchmarks_end_to_end(shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = run(command(shared_data, ",".join(FILES), out))
    assert done.returncode == 0, done.stderr
    found = results(out)
    assert list(found) == list(FILES)
    for name, entry in found.items():
        assert entry["n"] == 7 and entry["k"] == 2 and 0 <= entry["pass@2"] <= 1
        rows = read_records(RunLayout(out).eval_parquet(f"eval.{name}"))
        assert len(rows) == 7 and all(len(row["samples"]) == 2 for row in rows)
        assert name in done.stdout
    assert set(found["mathvision"]["breakdowns"]) >= {"subject", "level", "type"}
    assert found["wemath"]["metric"]["greedy"].keys() >= {"s1", "score_strict", "score_loose"}
    page = RunLayout(out).report.read_text()
    assert "eval.mathvision by subject" in page and "eval.wemath: its own metric" in page


def test_a_killed_measurement_goes_on_where_it_stopped(shared_data: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(command(shared_data, "tabmwp,puzzlevqa", whole)).returncode == 0
    begun = subprocess.Popen(
        command(shared_data, "tabmwp,puzzlevqa", cut),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    first = RunLayout(cut).eval_parts("eval.tabmwp") / "000003.parquet"
    deadline = time.monotonic() + 120
    while not first.exists() and begun.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    kept = first.stat().st_mtime_ns if first.exists() else None
    assert kept is not None, "the run ended before it could be killed in the middle"
    resumed = run([*command(shared_data, "tabmwp,puzzlevqa", cut), "--resume"])
    assert resumed.returncode == 0, resumed.stderr
    for name in ("eval.tabmwp", "eval.puzzlevqa"):
        assert read_records(RunLayout(cut).eval_parquet(name)) == read_records(RunLayout(whole).eval_parquet(name))
    assert {k: v for k, v in results(cut).items()} == {k: v for k, v in results(whole).items()}
    assert not first.exists(), "what was needed to go on is gone once the measurement is whole"


def test_mistakes_are_told_before_anything_loads(tmp_path: Path) -> None:
    base = [sys.executable, "-m", "mmupt.cli", "eval", "--model", "world:tiny", "--out", str(tmp_path / "x")]
    for arguments, told in [
        (["--benchmarks", "mathvison"], "mathvision"),
        (["--benchmarks", "tabmwp=/nowhere.jsonl"], "/nowhere.jsonl"),
        ([], "give either --data or --benchmarks"),
        (["--data", "a.jsonl", "--benchmarks", "tabmwp"], "give either --data or --benchmarks"),
        (["--data", "a.jsonl", "--judge", "localhost"], "http"),
    ]:
        done = run([*base, *arguments])
        assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "x").exists()


def test_training_data_is_not_measured_on_by_accident(tmp_path: Path) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        'name = "r"\n[model]\npath = "world:tiny"\n[data]\npath = "train.jsonl"\n[evaluation]\n'
        'benchmarks = ["wemath"]\n[[stages]]\nkind = "upt"\nname = "upt"\nsteps = 1\nprompts_per_step = 4\n'
    )
    evaluation = load_recipe(str(recipe)).evaluation
    assert evaluation is not None and evaluation.data is None and evaluation.benchmarks == ("wemath",)
    both = load_recipe(str(recipe), ["evaluation.data.path=test.jsonl"]).evaluation
    assert both is not None and both.data is not None and both.data.path == "test.jsonl"
    with pytest.raises(ConfigError, match="limit is for benchmarks"):
        load_recipe(str(recipe), ["evaluation.benchmarks=[]", "evaluation.limit=3"])


class Judge(BaseHTTPRequestHandler):
    """Speaks the protocol of OpenAI's API, and takes every response for right whose length is even."""

    def do_GET(self) -> None:
        self._reply(
            {"object": "list", "data": [{"id": "judge-32b", "object": "model", "created": 0, "owned_by": "me"}]}
        )

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = asked["messages"][0]["content"]
        response = re.search(r"<<<RESPONSE \w+\n(.*)\nRESPONSE \w+>>>", prompt, re.DOTALL)
        assert asked["model"] == "judge-32b" and response is not None
        verdict = "CORRECT" if len(response[1]) % 2 == 0 else "WRONG"
        message = {"role": "assistant", "content": f"It agrees or not.\nVERDICT: {verdict}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._reply({"id": "1", "object": "chat.completion", "created": 0, "model": "judge-32b", "choices": [choice]})

    def _reply(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_a_judge_stands_beside_the_rules(shared_data: Path, tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Judge) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/v1"
        out = tmp_path / "run"
        done = run(command(shared_data, "puzzlevqa", out, "--judge", url))
        server.shutdown()
    assert done.returncode == 0, done.stderr
    rows = read_records(RunLayout(out).eval_parquet("eval.puzzlevqa"))
    said = [len(sample["text"]) % 2 == 0 for row in rows for sample in row["samples"]]
    assert [verdict for row in rows for verdict in row["judged"]] == said
    judged = results(out)["puzzlevqa"]["judged"]
    assert judged["mean@2"] == pytest.approx(sum(said) / 14) and judged["undecided"] == 0
    assert "judge mean@2" in done.stdout and "judge: mean@2" in RunLayout(out).report.read_text()

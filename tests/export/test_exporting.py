"""Exported folders against the checkpoints they come from, as transformers loads them."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoTokenizer

from mmupt.errors import ConfigError, ModelError, RunFolderError
from mmupt.export import exporting
from mmupt.export.exporting import export_model, parse_size
from mmupt.export.source import model_behind
from mmupt.export.weights import SINGLE, cast, open_weights, plan_shards
from mmupt.models.loading import load_model
from mmupt.models.settings import ModelSettings
from mmupt.runtime.checkpoints import save_checkpoint

MEGABYTE = 10**6


def checkpoint(run: Path, stage: str) -> Path:
    return sorted((run / "checkpoints" / stage).glob("step-*"))[-1]


def weights(folder: Path) -> dict[str, Tensor]:
    with open_weights(folder) as found:
        return {name: found[name] for name in found.names}


def loaded(folder: Path) -> dict[str, Tensor]:
    """As any user of transformers gets it."""
    return dict(AutoModelForImageTextToText.from_pretrained(folder, dtype="auto").named_parameters())


def merged_by_hand(base: dict[str, Tensor], adapter: Path) -> dict[str, Tensor]:
    """W + alpha / r B A, module by module."""
    config = json.loads((adapter / "adapter_config.json").read_text())
    low = load_file(adapter / "adapter_model.safetensors")
    result = dict(base)
    for name in low:
        if not name.endswith("lora_A.weight"):
            continue
        a, b = low[name], low[name.replace("lora_A", "lora_B")]
        target = name.removeprefix("base_model.model.").replace("lora_A.weight", "weight")
        result[target] = base[target] + config["lora_alpha"] / config["r"] * b @ a
    return result


def test_a_run_is_its_newest_finished_stage(stopped_run: Path, tmp_path: Path) -> None:
    made = export_model(str(stopped_run), tmp_path / "out", dtype="keep")
    assert (made.behind.stage, made.behind.finished, made.behind.base) == ("one", True, None)
    before, after = weights(checkpoint(stopped_run, "one")), weights(tmp_path / "out")
    assert before.keys() == after.keys() and made.tensors == len(after) == 80
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert export_model(f"{stopped_run}:one", tmp_path / "again", dtype="keep").behind == made.behind


def test_what_is_exported_is_what_transformers_loads(stopped_run: Path, tmp_path: Path) -> None:
    export_model(str(stopped_run), tmp_path / "out", dtype="bfloat16")
    theirs, ours = loaded(checkpoint(stopped_run, "one")), loaded(tmp_path / "out")
    assert theirs.keys() == ours.keys()
    for name, weight in theirs.items():
        assert ours[name].dtype == torch.bfloat16 and torch.equal(ours[name], weight.bfloat16())
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.chat_template and tokenizer.encode("Add all dice.")
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"chat_template.jinja", "generation_config.json", "preprocessor_config.json", "README.md"} <= names
    assert not {"optimizer.safetensors", "state.json", "manifest.json"} & names
    assert json.loads((tmp_path / "out/config.json").read_text())["dtype"] == "bfloat16"


def test_mmupt_trains_on_what_it_has_exported(stopped_run: Path, tmp_path: Path) -> None:
    export_model(str(stopped_run), tmp_path / "out", dtype="float32")
    settings = ModelSettings(path=str(tmp_path / "out"))
    again = load_model(str(tmp_path / "out"), settings, torch.device("cpu"))
    first = load_model(str(checkpoint(stopped_run, "one")), settings, torch.device("cpu"))
    for one, other in zip(again.model.parameters(), first.model.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", ["keep", "bfloat16"])
def test_an_adapter_is_added_to_what_its_stage_began_with(stopped_run: Path, tmp_path: Path, dtype: Any) -> None:
    adapter = checkpoint(stopped_run, "two")
    made = export_model(str(adapter), tmp_path / "out", dtype=dtype)
    assert made.behind.base == str(checkpoint(stopped_run, "one")) and not made.behind.finished
    base = loaded(checkpoint(stopped_run, "one"))
    expected, moved = merged_by_hand(base, adapter), 0
    for name, weight in loaded(tmp_path / "out").items():
        want = expected[name].to(weight.dtype)
        torch.testing.assert_close(weight, want, rtol=1e-6 if dtype == "keep" else 2**-7, atol=1e-7)
        moved += not torch.equal(want, base[name].to(weight.dtype))
    assert moved > 20  # else the adapter added nothing and the test is empty
    assert not list((tmp_path / "out").glob("adapter*")) and "whole" not in {
        f.name for f in (tmp_path / "out").iterdir()
    }


def test_an_adapter_of_the_first_stage_belongs_to_the_start(stopped_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(stopped_run, run)
    shutil.rmtree(run / "checkpoints/one")
    assert model_behind(str(checkpoint(run, "two"))).base == str(run / "start")


def test_an_adapter_outside_of_any_run(stopped_run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "step-000003"
    shutil.copytree(checkpoint(stopped_run, "two"), alone)
    # peft has written down the start of the run, which is not what the adapter was trained on.
    with pytest.raises(RunFolderError, match=r"lies in no run.*--base"):
        export_model(str(alone), tmp_path / "out")
    assert model_behind(str(alone), base="elsewhere").base == "elsewhere"
    with pytest.raises(ModelError, match=r"elsewhere.*--base"):
        export_model(str(alone), tmp_path / "out", base=str(tmp_path / "elsewhere"))
    export_model(str(alone), tmp_path / "out", base=str(checkpoint(stopped_run, "one")), dtype="keep")
    export_model(str(checkpoint(stopped_run, "two")), tmp_path / "same", dtype="keep")
    assert (tmp_path / "out" / SINGLE).read_bytes() == (tmp_path / "same" / SINGLE).read_bytes()


def test_an_adapter_to_another_model(stopped_run: Path, tmp_path: Path) -> None:
    other = tmp_path / "step-000003"

    def write(folder: Path) -> None:
        for file in checkpoint(stopped_run, "two").iterdir():
            if file.name not in ("manifest.json", "state.json"):
                shutil.copyfile(file, folder / file.name)
        tensors = load_file(folder / "adapter_model.safetensors")
        save_file({n: t for n, t in tensors.items() if "layers.0" not in n}, folder / "adapter_model.safetensors")

    save_checkpoint(other, write, {"step": 3})
    with pytest.raises(ModelError, match="does not fit"):
        export_model(str(other), tmp_path / "out", base=str(stopped_run / "start"))
    assert list(tmp_path.iterdir()) == [other]


def test_shards(stopped_run: Path, tmp_path: Path) -> None:
    made = export_model(str(stopped_run), tmp_path / "out", dtype="float32", shard_bytes=MEGABYTE)
    assert len(made.shards) > 3 and made.shards[0] == f"model-00001-of-{len(made.shards):05}.safetensors"
    assert all((tmp_path / "out" / shard).stat().st_size < 1.1 * MEGABYTE for shard in made.shards)
    index = json.loads((tmp_path / "out/model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == made.num_bytes
    theirs, ours = loaded(checkpoint(stopped_run, "one")), loaded(tmp_path / "out")
    assert theirs.keys() == ours.keys() and all(torch.equal(theirs[name], ours[name]) for name in theirs)


def test_a_sharded_checkpoint_is_read(stopped_run: Path, tmp_path: Path) -> None:
    export_model(str(stopped_run), tmp_path / "step-000001", dtype="keep", shard_bytes=MEGABYTE)
    files = [f for f in (tmp_path / "step-000001").iterdir() if f.name != "manifest.json"]
    save_checkpoint(tmp_path / "step-000002", lambda to: [shutil.copy(f, to) for f in files] and None, {"step": 2})
    export_model(str(tmp_path / "step-000002"), tmp_path / "out", dtype="keep")
    before, after = weights(tmp_path / "step-000001"), weights(tmp_path / "out")
    assert all(torch.equal(before[name], after[name]) for name in before) and len(before) == len(after)


def test_hashes(stopped_run: Path, tmp_path: Path) -> None:
    export_model(str(stopped_run), tmp_path / "out")
    lines = (tmp_path / "out/SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    files = {file.name: file for file in (tmp_path / "out").iterdir() if file.name != "SHA256SUMS"}
    assert sums == {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}


class TestRefusals:
    @pytest.mark.parametrize("source", ["nowhere", "nowhere:one", ""])
    def test_no_such_source(self, tmp_path: Path, source: str) -> None:
        with pytest.raises(RunFolderError, match=r"there is no such folder|neither a run folder"):
            export_model(source, tmp_path / "out")

    def test_no_run(self, tmp_path: Path) -> None:
        with pytest.raises(RunFolderError, match=r"neither a run folder .* nor a checkpoint"):
            export_model(str(tmp_path), tmp_path / "out")

    def test_no_such_stage(self, stopped_run: Path, tmp_path: Path) -> None:
        with pytest.raises(RunFolderError, match="no stage 'three' trains a model there; such are: one, two"):
            export_model(f"{stopped_run}:three", tmp_path / "out")

    def test_unfinished(self, stopped_run: Path, tmp_path: Path) -> None:
        newest = checkpoint(stopped_run, "two")
        with pytest.raises(RunFolderError, match=f"'two' is not finished.*{newest}"):
            export_model(f"{stopped_run}:two", tmp_path / "out")
        run = tmp_path / "run"
        shutil.copytree(stopped_run, run)
        shutil.rmtree(run / "checkpoints/one")
        with pytest.raises(RunFolderError, match=r"no stage is finished; resume the run, or export .*two"):
            export_model(str(run), tmp_path / "out")
        shutil.rmtree(run / "checkpoints/two")
        with pytest.raises(RunFolderError, match="no checkpoint yet"):
            export_model(str(run), tmp_path / "out")

    @pytest.mark.parametrize("file", ["model.safetensors", "state.json", "manifest.json", "tokenizer.json"])
    def test_damaged(self, stopped_run: Path, tmp_path: Path, file: str) -> None:
        run = tmp_path / "run"
        shutil.copytree(stopped_run, run)
        damaged = checkpoint(run, "one") / file
        content = damaged.read_bytes()
        damaged.write_bytes(content[:-3] + b"xxx")
        for source in (run, damaged.parent):
            with pytest.raises(RunFolderError, match="damaged checkpoint"):
                export_model(str(source), tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_a_used_folder(self, stopped_run: Path, tmp_path: Path) -> None:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine/notes").write_text("mine")
        for overwrite in (False, True):
            with pytest.raises(ModelError, match="never replaced"):
                export_model(str(stopped_run), tmp_path / "mine", overwrite=overwrite)
        (tmp_path / "empty").mkdir()
        export_model(str(stopped_run), tmp_path / "empty", dtype="float32")
        with pytest.raises(ModelError, match="--overwrite"):
            export_model(str(stopped_run), tmp_path / "empty")
        export_model(str(stopped_run), tmp_path / "empty", dtype="bfloat16", overwrite=True)
        assert weights(tmp_path / "empty")["visual.patch_embed.proj.weight"].dtype == torch.bfloat16
        assert sorted(f.name for f in tmp_path.iterdir()) == ["empty", "mine"]

    @pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), None])
    def test_a_full_disk(
        self, stopped_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError | None
    ) -> None:
        """As Python says it and as safetensors says it; the folder that was there stays."""
        from safetensors import SafetensorError

        export_model(str(stopped_run), tmp_path / "out")
        before = (tmp_path / "out/SHA256SUMS").read_bytes()

        def refuse(*arguments: object) -> None:
            raise error or SafetensorError("I/O error: No space left on device (os error 28)")

        monkeypatch.setattr(exporting, "copy_weights", refuse)
        with pytest.raises(ModelError, match=r"out: .*the disk is full"):
            export_model(str(stopped_run), tmp_path / "out", overwrite=True)
        assert (tmp_path / "out/SHA256SUMS").read_bytes() == before
        assert [f.name for f in tmp_path.iterdir()] == ["out"]

    def test_too_little_room(self, stopped_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = shutil.disk_usage(tmp_path)._replace(free=1000)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
        with pytest.raises(ModelError, match=r"are needed there and 0.00 GB are free"):
            export_model(str(stopped_run), tmp_path / "out")

    def test_a_disk_that_writes_something_else(
        self, stopped_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = exporting.copy_weights

        def spoil(weights: Any, out: Path, *rest: Any) -> list[str]:
            files = real(weights, out, *rest)
            tensors = load_file(out / files[0])
            name = max(tensors, key=lambda n: tensors[n].numel())
            tensors[name].view(-1)[7] *= 1.01
            save_file(tensors, out / files[0])
            return files

        monkeypatch.setattr(exporting, "copy_weights", spoil)
        for dtype in ("keep", "float32", "bfloat16", "float16"):
            with pytest.raises(ModelError, match="differs from the checkpoint"):
                export_model(str(stopped_run), tmp_path / "out", dtype=dtype)  # type: ignore[arg-type]


def test_numbers_that_do_not_fit() -> None:
    with pytest.raises(ModelError, match=r"w: holds 1e\+05, too large for float16; take --dtype bfloat16"):
        cast("w", torch.tensor([1e5]), "float16")
    with pytest.raises(ModelError, match="not finite"):
        cast("w", torch.tensor([torch.nan]), "keep")
    assert cast("w", torch.tensor([3]), "bfloat16").dtype == torch.int64


def test_sizes() -> None:
    assert [parse_size(s) for s in ("5GB", "1.5 GiB", "2000000", "3mb")] == [5 * 10**9, 3 * 2**29, 2 * 10**6, 3 * 10**6]
    for wrong in ("", "5XB", "100", "-1GB", "nan"):
        with pytest.raises(ConfigError, match="--shard-size"):
            parse_size(wrong)


def test_shards_keep_order_and_never_exceed_the_limit() -> None:
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        sizes = [(str(i), int(s)) for i, s in enumerate(torch.randint(1, 9, (30,), generator=rng))]
        shards = plan_shards(sizes, limit=10)
        assert [name for shard in shards for name in shard] == [name for name, _ in sizes]
        assert all(sum(dict(sizes)[n] for n in shard) <= 10 for shard in shards)
    assert plan_shards([("a", 20)], limit=10) == [["a"]]

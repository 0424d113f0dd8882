"""Weights put back from a folder into the model in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mmupt.errors import ModelError
from mmupt.models.loading import LoadedModel, copy_weights, load_model, save_model
from mmupt.models.settings import ModelSettings
from mmupt.world.tiny_model import build_tiny_model


def test_what_was_saved_comes_back_into_the_same_object(tiny: LoadedModel, tmp_path: Path) -> None:
    before = {name: tensor.clone() for name, tensor in tiny.model.state_dict().items()}
    objects = [id(p) for p in tiny.model.parameters()]
    save_model(tiny, tmp_path / "saved")
    with torch.no_grad():
        for parameter in tiny.model.parameters():
            parameter.mul_(1.5)
    copy_weights(tiny, tmp_path / "saved")
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny.model.state_dict().items())
    assert [id(p) for p in tiny.model.parameters()] == objects
    assert all(p.requires_grad and p.grad is None for p in tiny.model.parameters())


@pytest.mark.parametrize("foreign", ["other sizes", "more weights", "fewer weights"])
def test_a_foreign_model_is_refused_before_anything_is_copied(
    tiny: LoadedModel, tiny_folder: Path, tmp_path: Path, foreign: str
) -> None:
    folder = tmp_path / "foreign"
    layers = tiny.model.model.language_model.layers  # type: ignore[union-attr]
    if foreign == "other sizes":  # of the vocabulary
        build_tiny_model(folder, [f"{word} {i}" for i in range(40) for word in ("alpha", "beta", "gamma")], seed=0)
    elif foreign == "more weights":
        save_model(tiny, folder)
        del layers[-1]  # type: ignore[operator, union-attr]
    else:
        loaded = load_model(str(tiny_folder), ModelSettings(path=str(tiny_folder)), torch.device("cpu"))
        config = loaded.model.config.text_config  # type: ignore[union-attr]
        del loaded.model.model.language_model.layers[-1]  # type: ignore[operator, union-attr]
        config.num_hidden_layers -= 1  # type: ignore[operator, union-attr]
        config.layer_types = config.layer_types[:-1]  # type: ignore[index, union-attr]
        save_model(loaded, folder)
    with torch.no_grad():
        for parameter in tiny.model.parameters():
            parameter.mul_(1.5)
    before = {name: tensor.clone() for name, tensor in tiny.model.state_dict().items()}
    with pytest.raises(ModelError, match="another model"):
        copy_weights(tiny, folder)
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny.model.state_dict().items())

"""For the processes of TRL and vLLM only: lets torchvision be imported beside a CPU build of torch.

Both need a full processor for pictures, and that needs torchvision, of which PyPI has CUDA builds alone. Its compiled
operators do not load beside a CPU torch, and its Python part then stops at operators whose names are unknown. Nothing
here runs them: it is enough that the names exist. Python imports this file by itself from PYTHONPATH.
"""

import importlib.util
from pathlib import Path

import torch

spec = importlib.util.find_spec("torchvision")
if spec is not None and spec.origin is not None:
    try:
        torch.ops.load_library(Path(spec.origin).with_name("_C.so"))
    except OSError:
        names = torch.library.Library("torchvision", "DEF")  # kept in this module: names live as long as the object
        for name in ("nms", "qnms"):
            names.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

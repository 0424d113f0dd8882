"""GPUs by what their vendor prints on them, and how many of them stand together."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from mmupt.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Gpu:
    """`tflops` is dense bf16 with fp32 accumulation. `link_gb_s` is what one GPU sends to the others of its node, in
    one direction (vendors print both directions together: half of that); `network_gb_s` is its share of the node's
    network, in one direction. GB are 10^9 bytes."""

    name: str
    memory_gb: float
    tflops: float
    memory_gb_s: float
    link_gb_s: float
    network_gb_s: float

    @property
    def memory_bytes(self) -> float:
        return self.memory_gb * 1e9


# NVIDIA's data sheets, without sparsity: H100 and H200 (SXM: 989 TFLOP/s, NVLink 900 GB/s), A100 (SXM: 312, 600 GB/s;
# A800 is an A100 with 400 GB/s), B200 (HGX B200: 2,250, 1,800 GB/s), L40S (362, PCIe 4 x16), RTX 4090 (165 with fp32
# accumulation, Ada whitepaper, PCIe 4 x16), H100 PCIe (756, PCIe 5 x16). The network is that of NVIDIA's own systems, a
# card a GPU: DGX H100, H200, B200 400 Gbit/s, DGX A100 200 Gbit/s. For cards without such a system 100 Gbit/s a GPU are
# assumed. Memory in decimal GB, a little less than what such a card reports.
GPUS: dict[str, Gpu] = {
    gpu.name: gpu
    for gpu in (
        Gpu("B200", 180, 2250, 8000, 900, 50),
        Gpu("H200", 141, 989, 4800, 450, 50),
        Gpu("H100", 80, 989, 3350, 450, 50),
        Gpu("H100-PCIe", 80, 756, 2000, 64, 25),
        Gpu("A100-80", 80, 312, 2039, 300, 25),
        Gpu("A100-40", 40, 312, 1555, 300, 25),
        Gpu("A800", 80, 312, 2039, 200, 25),
        Gpu("L40S", 48, 362, 864, 32, 12.5),
        Gpu("RTX-4090", 24, 165, 1008, 32, 12.5),
    )
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """`gpus` in whole nodes of `gpus_per_node`, or in a part of one."""

    gpu: Gpu
    gpus: int
    gpus_per_node: int

    @property
    def nodes(self) -> int:
        return -(-self.gpus // self.gpus_per_node)

    @property
    def name(self) -> str:
        return f"{self.gpus} x {self.gpu.name} ({self.nodes} node{'s' if self.nodes > 1 else ''})"


def find_gpu(name: str) -> Gpu:
    """By its name, however written: "h100", "a100 80gb". ConfigError with the choices and the nearest of them."""
    wanted = _plain(name)
    by_plain = {_plain(known): gpu for known, gpu in GPUS.items()} | {"4090": GPUS["RTX-4090"], "A100": GPUS["A100-80"]}
    if wanted in by_plain:
        return by_plain[wanted]
    near = difflib.get_close_matches(wanted, by_plain, n=1, cutoff=0.4)
    guess = f"; did you mean {by_plain[near[0]].name}?" if near else "."
    raise ConfigError(f'--gpu "{name}": not known{guess} Known: {", ".join(GPUS)}')


def make_cluster(gpu: str, gpus: int | None, nodes: int | None, gpus_per_node: int) -> Cluster:
    """From the command line's numbers, of which one may say what the other says. ConfigError where they disagree, and
    for a number of GPUs that fills no whole nodes."""
    found = find_gpu(gpu)
    if gpus is None and nodes is None:
        raise ConfigError("give --gpus N, or --nodes N")
    if gpus is None:
        gpus = (nodes or 1) * gpus_per_node
    if nodes is not None and gpus != nodes * gpus_per_node:
        raise ConfigError(
            f"--gpus {gpus} and --nodes {nodes} of {gpus_per_node} GPUs disagree; give one of them, or --gpus-per-node"
        )
    if gpus > gpus_per_node and gpus % gpus_per_node:
        raise ConfigError(
            f"--gpus {gpus}: nodes have {gpus_per_node} GPUs, so more than one node is a multiple of that; "
            f"give {gpus // gpus_per_node * gpus_per_node} or {-(-gpus // gpus_per_node) * gpus_per_node}, or another "
            "--gpus-per-node"
        )
    return Cluster(found, gpus, gpus_per_node)


def _plain(name: str) -> str:
    """ "a100 80GB" and "A100-80" are the same."""
    return re.sub(
        r"[^A-Z0-9]", "", re.sub(r"(GB|SXM\d?)\b", "", name.upper().replace("NVIDIA", "").replace("RTX", "RTX "))
    )

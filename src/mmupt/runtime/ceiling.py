"""How fast a device multiplies matrices at best: what a FLOP floor is turned into seconds with."""

from __future__ import annotations

import time

import torch

_SIDES = (512, 1024, 2048, 4096, 8192)


def matmul_ceiling(device: torch.device, dtype: torch.dtype, seconds: float = 0.3) -> float:
    """FLOPs a second of the best square matrix product that about `seconds` of trying find, with as many threads as
    torch uses now: what this device really does, not what is printed on it."""

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    def rate(matrix: torch.Tensor, repeats: int) -> float:
        start = now()
        for _ in range(repeats):
            matrix @ matrix
        return repeats * 2 * len(matrix) ** 3 / (now() - start)

    best = 0.0
    generator = torch.Generator(device).manual_seed(0)  # its own: no run's randomness depends on this
    began = now()
    for side in _SIDES:
        if best and now() + 4 * 2 * side**3 / best > began + seconds:
            break
        matrix = torch.rand(side, side, generator=generator, device=device).to(dtype)
        warm = now() + 0.03
        while (once := rate(matrix, 1)) and now() < warm:  # libraries, threads and clock rates come up
            pass
        repeats = max(1, int(0.01 * once / (2 * side**3)))  # about 10 ms together
        best = max(best, once, *(rate(matrix, repeats) for _ in range(3)))
    return best

"""How much of a GPU medray's training step uses: one plain process without Ray, bf16, blocks of 8,192 tokens.

    python -m benchmarks.gpu_train [--quick] [--device cuda]

Needs torch, transformers, deepspeed (`DS_BUILD_OPS=0 pip wheel --no-deps deepspeed==0.19.8` makes a small wheel), and
medray's own light dependencies. Prints a table and, last, one JSON line, of the worse shape: mfu_peak, the model's
operations (6 N T, attention left out) over the data sheet's peak; mfu_matmul, over the rate that this GPU's large bf16
matrix products reach in the same run (aim: 0.5); ratio_bare, the tokens/s over those of a bare PyTorch loop, its steps
taken in turn (aim: 0.97). With --device cpu a tiny shape proves the path, and no use of a GPU is claimed.
"""

from __future__ import annotations

import argparse
import json
import time

import torch

from benchmarks.bare_loop import Shape, measure
from medray.plan.training import device_flops, full_flops

SHAPES = {
    "1B": Shape(32_000, 2048, 5632, 22, 32, 4, rows=1, tokens=8192),
    "8B width": Shape(128_256, 4096, 14_336, 4, 32, 8, rows=1, tokens=8192),
}
TINY = {"tiny": Shape(512, 64, 128, 2, 4, 2, rows=2, tokens=128)}


def main() -> None:
    """Measure each shape and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer steps; under 5 minutes")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    arguments = parser.parse_args()
    is_gpu = arguments.device == "cuda"
    if is_gpu and not torch.cuda.is_available():
        raise SystemExit("gpu_train: no CUDA device here: run it on a GPU machine, or with --device cpu")
    peak = device_flops(torch.cuda.get_device_name()) if is_gpu else None
    matmul = matmul_flops() if is_gpu else None
    shapes, rows = SHAPES if is_gpu else TINY, []
    print("shape      medray s/step   tokens/s   bare s/step   of peak   of matmul   of bare")
    for name, shape in shapes.items():
        num_steps = 12 if arguments.quick else 40
        took = measure(shape, num_steps=num_steps, dtype="bf16", device=arguments.device, zero_stage=1)
        tokens = shape.rows * shape.tokens
        num_parameters = sum(p.numel() for p in shape.model("meta", "bf16").parameters())
        rate = full_flops(num_parameters, tokens) / took.step_s
        row = {
            "mfu_peak": rate / peak if peak else None,
            "mfu_matmul": rate / matmul if matmul else None,
            "ratio_bare": 1 / (1 + took.overhead_fraction),
        }
        rows.append(row)
        shown = "".join(f"{'-' if row[key] is None else f'{row[key]:.3f}':>11}" for key in row)
        print(f"{name:9}  {took.step_s:13.4f}  {tokens / took.step_s:9.0f}  {took.bare_s:12.4f}{shown}", flush=True)
    worst = {key: None if rows[0][key] is None else round(min(row[key] for row in rows), 4) for key in rows[0]}
    print(json.dumps(worst))


def matmul_flops(size: int = 8192, repeats: int = 50) -> float:
    """bf16 operations a second of size x size products."""
    one, other = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        one @ other
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(repeats):
        one @ other
    torch.cuda.synchronize()
    return 2 * size**3 * repeats / (time.perf_counter() - began)


if __name__ == "__main__":
    main()

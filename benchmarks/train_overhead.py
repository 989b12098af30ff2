"""What medray's training step costs over a bare PyTorch loop, on a CPU: one worker, 2 threads, steps taken in turn.

    python -m benchmarks.train_overhead [--quick] [--shape 25M] [--dtype fp32] [--zero-stage 0]

Prints a table and, last, one JSON line: the worst overhead_fraction of the shapes (wall-clock, median of the ratios of
neighbouring steps; aim: at most 0.03) and data_wait_fraction (aim: less than 0.01). Wants a quiet machine; the column
"cpu" is the same ratio in processor time, which depends less on one.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ |= {"OMP_NUM_THREADS": "2", "DS_ACCELERATOR": "cpu", "OMP_WAIT_POLICY": "PASSIVE"}

import torch  # noqa: E402  the threads are set first

from benchmarks.bare_loop import Shape, measure  # noqa: E402

SHAPES = {
    "25M": Shape(49_152, 384, 1024, 4, 6, 2, rows=4, tokens=512),
    "135M": Shape(49_152, 576, 1536, 30, 9, 3, rows=1, tokens=1024),  # SmolLM2-135M
}


def main() -> None:
    """Measure each shape and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer steps; under 5 minutes")
    parser.add_argument("--shape", choices=SHAPES, action="append", help="only this one; may be repeated")
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--zero-stage", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    found = []
    print("shape   medray s/step   bare s/step   overhead   cpu      data wait")
    for name in arguments.shape or SHAPES:
        num_steps = {"25M": 16, "135M": 8}[name] if arguments.quick else {"25M": 60, "135M": 24}[name]
        took = measure(SHAPES[name], num_steps=num_steps, dtype=arguments.dtype, zero_stage=arguments.zero_stage)
        found.append(took)
        print(
            f"{name:6}  {took.step_s:13.3f}  {took.bare_s:12.3f}  {took.overhead_fraction:9.4f}"
            f"  {took.cpu_overhead_fraction:7.4f}  {took.data_wait_fraction:9.5f}",
            flush=True,
        )
    worst = {
        key: round(max(getattr(took, key) for took in found), 5) for key in ("overhead_fraction", "data_wait_fraction")
    }
    print(json.dumps(worst))


if __name__ == "__main__":
    main()

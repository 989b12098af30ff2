"""Sampling through Ray Data against `vllm.LLM.generate` by itself: tokens a second, on a CPU.

    python -m benchmarks.sampling [--quick] [--data ../shared/data/preference] [--dtype bf16]

SmolLM2-135M-Instruct answers patients' questions (icliniq, by AlpaCare), K = 4 times each. Raw is one `generate` of all
requests, ids in and ids out, in a process without Ray: the same engine (settings, threads, environment), the same
prompts, seeds and stop ids. medray is `medray.generate.engine.sample`: Ray Data's shards through the engine's actor,
conversations rendered, completions decoded, written and checked. Both engines stand and are warm before the first pass;
start-up is not timed.

Passes are taken in turn, raw medray medray raw and so on, and neighbours are compared, so that a machine that grows
busier does not decide. Prints a table and, last, one JSON line: the median of medray's tokens a second over raw's
(aim: at least 0.95). Wants a quiet machine; the column "cpu" counts processor time, Ray's included, in place of the
clock's, and depends less on one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.reward_serving import processor_s
from benchmarks.sft_vs_trl import write_model

K = 4
MAX_PROMPT_TOKENS = 256
MAX_MODEL_LEN = 512
SALT = "benchmark"


class Took(NamedTuple):
    """One pass."""

    wall_s: float
    cpu_s: float
    num_tokens: int

    @property
    def rate(self) -> float:
        """Sampled tokens a second."""
        return self.num_tokens / self.wall_s


def sampling(dtype: str, max_tokens: int) -> Any:
    """How completions are drawn, for both."""
    from medray.generate.config import Sampling

    return Sampling(
        num_completions=K, temperature=0.8, top_p=0.95, max_tokens=max_tokens, rng_seed=0, dtype=dtype,
        max_model_len=MAX_MODEL_LEN,
    )  # fmt: skip


def settings(model: Path, dtype: str) -> Any:
    """The engine, for both."""
    from medray.generate.config import EnginePlacement
    from medray.generate.fleet import EngineSettings, architecture

    placement = EnginePlacement(threads=os.cpu_count() or 1)
    return EngineSettings(architecture(model, placement), dtype, MAX_MODEL_LEN, placement)


def prepare(directory: Path, data: Path, num_prompts: int) -> list[dict[str, Any]]:
    """Write the model and the prompts as ids; the prompts as rows."""
    import zstandard

    from medray.core.config import UserError
    from medray.generate.sampling import completion_seeds
    from medray.model.load import load_tokenizer
    from medray.model.render import render_prompt

    write_model(directory / "model", "135M")
    tokenizer = load_tokenizer(directory / "model")
    with zstandard.open(data / "icliniq_model_outputs.jsonl.zst", "rt") as stream:
        questions = dict.fromkeys(json.loads(line)["prompt"] for line in stream)
    rows, requests = [], []
    for question in questions:
        messages = [{"role": "user", "content": question}]
        try:
            ids = render_prompt(tokenizer, messages)
        except UserError:
            continue
        if len(ids) <= MAX_PROMPT_TOKENS and len(rows) < num_prompts:
            row = {"id": f"q{len(rows)}", "task": "open", "messages": messages, "options": [], "gold": -1}
            rows.append(row | {"reference": "", "group": "", "split": "round_1"})
            requests += [[ids, seed] for seed in completion_seeds(0, SALT, rows[-1]["id"], K)]
    (directory / "requests.json").write_text(json.dumps(requests))
    mean = sum(len(ids) for ids, _ in requests) / len(requests)
    print(f"{len(rows)} prompts of {mean:.0f} tokens on average, {K} completions of each", flush=True)
    return rows


def serve_raw(directory: Path, dtype: str, max_tokens: int) -> None:
    """The peer's process: the number of requests a line in, a line with seconds and tokens out."""
    from vllm import SamplingParams
    from vllm.inputs import TokensPrompt

    from medray.generate.engine import _new_llm
    from medray.model.load import load_tokenizer
    from medray.model.render import stop_ids

    llm = _new_llm(str(directory / "model"), settings(directory / "model", dtype))
    config, stops = sampling(dtype, max_tokens), stop_ids(load_tokenizer(directory / "model"))
    requests = json.loads((directory / "requests.json").read_text())
    print("READY", flush=True)
    for line in sys.stdin:
        assert llm.reset_prefix_cache()
        chosen = requests[: int(line)]
        began = time.perf_counter(), time.process_time()
        parameters = [
            SamplingParams(
                temperature=config.temperature, top_p=config.top_p, max_tokens=config.max_tokens, seed=seed,
                stop_token_ids=stops, detokenize=False,
            )
            for _, seed in chosen
        ]  # fmt: skip
        outputs = llm.generate([TokensPrompt(prompt_token_ids=ids) for ids, _ in chosen], parameters, use_tqdm=False)
        took = time.perf_counter() - began[0], time.process_time() - began[1]
        took = Took(*took, sum(len(output.outputs[0].token_ids) for output in outputs))
        print("RESULT " + json.dumps(took), flush=True)


class Raw:
    """The driver's end of the peer's process."""

    def __init__(self, directory: Path, dtype: str, max_tokens: int):
        from medray.generate.fleet import _environment

        command = [sys.executable, "-m", "benchmarks.sampling", "--raw", str(directory), "--dtype", dtype]
        environment = os.environ | _environment(settings(directory / "model", dtype).placement)
        self._process = subprocess.Popen(
            [*command, "--max-tokens", str(max_tokens)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment,
        )  # fmt: skip
        self._read("READY")

    def run(self, num_requests: int) -> Took:
        """One pass."""
        self._process.stdin.write(f"{num_requests}\n")
        self._process.stdin.flush()
        return Took(*json.loads(self._read("RESULT")))

    def close(self) -> None:
        """End it."""
        self._process.stdin.close()
        self._process.wait(60)

    def _read(self, word: str) -> str:
        for line in self._process.stdout:
            if line.startswith(word):
                return line.removeprefix(word)
        raise SystemExit(f"the raw engine's process ended with {self._process.wait()}: see above")


def run_medray(
    directory: Path, session: str, rows: list[dict[str, Any]], dtype: str, max_tokens: int, name: str
) -> Took:  # fmt: skip
    """One pass, into a workspace of its own."""
    import pyarrow as pa

    from medray.core.schema import PROMPT
    from medray.core.workspace import Root, Workspace
    from medray.generate.engine import sample

    model = directory / "model"
    workspace = Workspace(Root(str(directory / "runs")), "sample", name, "sample")
    began = time.perf_counter(), processor_s(session)
    counters = sample(
        model=model, model_id="benchmark", prompts=pa.Table.from_pylist(rows, schema=PROMPT),
        sampling=sampling(dtype, max_tokens), placement=settings(model, dtype).placement, workspace=workspace,
        salt=SALT,
    )  # fmt: skip
    return Took(time.perf_counter() - began[0], processor_s(session) - began[1], counters["num_tokens"])


def main() -> None:
    """Prepare, start both, take passes in turn, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer prompts, shorter completions; under 5 minutes")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/preference"))
    parser.add_argument("--dtype", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--prompts", type=int, help="so many in place of 36 (--quick) or 256")
    parser.add_argument("--max-tokens", type=int, default=0, help="of a completion")
    parser.add_argument("--raw", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.raw:
        serve_raw(arguments.raw, arguments.dtype, arguments.max_tokens)
        return
    from medray.session import SessionPlacement, ray_session

    num_prompts, num_pairs = (36, 2) if arguments.quick else (256, 4)
    num_prompts = arguments.prompts or num_prompts
    max_tokens = arguments.max_tokens or (64 if arguments.quick else 128)
    ratios, totals = [], {"raw": [0.0, 0.0, 0], "medray": [0.0, 0.0, 0]}
    with tempfile.TemporaryDirectory() as name, ray_session(SessionPlacement()) as session:
        directory = Path(name)
        rows = prepare(directory, arguments.data, num_prompts)
        raw = Raw(directory, arguments.dtype, max_tokens)
        raw.run(8 * K)
        run_medray(directory, session, rows[:8], arguments.dtype, max_tokens, "warm")
        for number in range(num_pairs):
            took = {}
            for contestant in ("raw", "medray") if number % 2 == 0 else ("medray", "raw"):
                took[contestant] = (
                    raw.run(num_prompts * K) if contestant == "raw"
                    else run_medray(directory, session, rows, arguments.dtype, max_tokens, f"pass-{number}")
                )  # fmt: skip
                totals[contestant] = [a + b for a, b in zip(totals[contestant], took[contestant], strict=True)]
                print(f"{contestant}: {took[contestant].num_tokens} tokens in {took[contestant].wall_s:.1f} s, "
                      f"{took[contestant].cpu_s:.1f} s of processors, "
                      f"load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)  # fmt: skip
            ratios.append(took["medray"].rate / took["raw"].rate)
        raw.close()
    print(f"{arguments.dtype}\ncontestant   tokens     wall s   tokens/s    cpu s   tokens/cpu s")
    for contestant, (wall_s, cpu_s, num_tokens) in totals.items():
        print(f"{contestant:10}  {num_tokens:7}  {wall_s:9.1f}  {num_tokens / wall_s:9.1f}  {cpu_s:7.1f}"
              f"  {num_tokens / cpu_s:13.1f}")  # fmt: skip
    print("neighbouring passes: " + ", ".join(f"{ratio:.3f}" for ratio in ratios))
    print(json.dumps({"fraction_of_raw": round(median(ratios), 3)}))


if __name__ == "__main__":
    main()

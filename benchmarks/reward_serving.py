"""The reward service under load: rewards a second, against the same model without it, on the same cores.

    python -m benchmarks.reward_serving [--quick] [--data ../shared/data/preference] [--dtype bf16] [--replicas 2]

A reward model of SmolLM2-135M's shape and weights (a new head on its policy) judges real answers to patients' questions
(icliniq, by AlpaCare), of at most 192 tokens with the question. Contestants, in turn, of equal dtype on all cores:

- batched: 64 callers of the service over HTTP, 32 rows a call (--quick has rows for 5 of them at a time), every row
  another question's;
- single: the same with one row a call;
- raw: transformers' own forward on 32 rows, ids made before, sorted by length over all rows;
- pipeline: transformers' text-classification pipeline on rendered text, one row at a time.

The same for questions with K = 8 answers each. Then a replica of two is killed while 64 callers wait: lost counts rows
that got no reward, or another than before. Start-up is not timed. Each round takes raw before and after the others, so
that a machine that grows busier does not decide; ratios are medians over the rounds. Prints a table and, last, one JSON
line: rewards a second of batched and of single over raw's, of batched over the pipeline's; latency of a single row's
call with 64 in flight (aims: 0.9, 0.6, 1.5, and over the pipeline 3 where K = 8 share a prompt; lost 0). Wants a quiet
machine; the table's ratios in processor time, callers and Ray included, depend less on one.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import httpx
import psutil

from benchmarks.reward_peers import BATCH, PeersProcess, Rate, tell
from benchmarks.sft_vs_trl import write_model

CALLERS = 64
MAX_TOKENS = 192
NUM_SIBLINGS = 8
FAMILY_TOKENS = 512
"""Longest row of a question with K answers: there the question may be long."""
TOLERANCE = {"fp32": 1e-4, "bf16": 0.1}
"""How far a reward may be from the one before: bf16 moves them by 0.1 with the batch."""


class Sizes(NamedTuple):
    """Rows that each contestant judges in a round."""

    batched: int
    single: int
    peer: int
    rounds: int


SIZES = {True: Sizes(batched=160, single=64, peer=48, rounds=1), False: Sizes(2048, 512, 512, 3)}


class Service(NamedTuple):
    """Where it answers, and Ray's session that runs it."""

    endpoint: Any
    session: str


class Pass(NamedTuple):
    """What 64 callers saw."""

    rate: Rate
    latencies_s: list[float]
    rewards: dict[int, float]


def prepare(directory: Path, data: Path, num_rows: int) -> None:
    """Write the reward model, and rows of the two kinds as conversations."""
    import zstandard

    from medray.core.config import UserError
    from medray.model.export import save_model
    from medray.model.load import load_reward_model, load_tokenizer
    from medray.model.render import render

    write_model(directory / "policy", "135M")
    tokenizer = load_tokenizer(directory / "policy")
    reward_model = load_reward_model(directory / "policy", "fp32", from_policy=True)
    save_model(reward_model, tokenizer, directory / "model", {"title": "a reward model"})
    with zstandard.open(data / "icliniq_model_outputs.jsonl.zst", "rt") as stream:
        questions = [json.loads(line) for line in stream]
    rows: dict[str, list[dict[str, Any]]] = {"distinct": [], "siblings": []}
    for question in questions:
        if min(map(len, rows.values())) >= num_rows:
            break
        messages = [{"role": "user", "content": question["prompt"]}]
        answers = []
        for answer in dict.fromkeys(filter(str.strip, question["responses"].values())):
            try:
                length = len(render(tokenizer, [*messages, {"role": "assistant", "content": answer}]).ids)
            except UserError:
                continue
            answers.append({"messages": messages, "completion": answer, "num_tokens": length})
        answers.sort(key=lambda row: row["num_tokens"])
        family = answers[:NUM_SIBLINGS]
        if len(family) == NUM_SIBLINGS and family[-1]["num_tokens"] <= FAMILY_TOKENS:
            rows["siblings"] += family
        fitting = [row for row in answers if row["num_tokens"] <= MAX_TOKENS]
        rows["distinct"] += fitting[-1:]  # its longest that fits: the short ones are nearly empty
    for name, found in rows.items():
        found = [found[i % len(found)] for i in range(num_rows)]
        mean = sum(row.pop("num_tokens") for row in [dict(row) for row in found]) / len(found)
        print(f"{name}: {len({str(row) for row in found})} rows of {mean:.0f} tokens on average", flush=True)
        plain = [{key: row[key] for key in ("messages", "completion")} for row in found]
        (directory / f"{name}.json").write_text(json.dumps(plain))


def processor_s(session: str) -> float:
    """Processor time of this process, Ray's and all they started, so far."""
    from medray.core.placement import run_processes

    total = 0.0
    for process in run_processes(session):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:2])
    return total


def call_service(
    service: Service, rows: list[dict[str, Any]], rows_per_call: int, on_call: Callable[[int], None] = lambda n: None
) -> Pass:
    """All rows by 64 callers, a client each; on_call(calls answered) is told of each answer."""
    from medray.generate.scoring import RewardClient
    from medray.serve.schema import RewardRow

    calls: queue.SimpleQueue[int] = queue.SimpleQueue()
    for start in range(0, len(rows), rows_per_call):
        calls.put(start)
    asked = [RewardRow.model_validate(row) for row in rows]
    clients = [RewardClient(service.endpoint, deadline_s=1800, request_timeout_s=900) for _ in range(CALLERS)]
    latencies_s: list[float] = []
    rewards: dict[int, float] = {}

    def caller(client: Any) -> None:
        while True:
            try:
                start = calls.get_nowait()
            except queue.Empty:
                return
            began = time.perf_counter()
            found = client.rewards(asked[start : start + rows_per_call])
            latencies_s.append(time.perf_counter() - began)
            rewards.update(enumerate(found, start))
            on_call(len(latencies_s))

    threads = [threading.Thread(target=caller, args=(client,), daemon=True) for client in clients]
    began = time.perf_counter(), processor_s(service.session)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began[0], processor_s(service.session) - began[1]
    return Pass(Rate(*(len(rewards) / seconds for seconds in took)), latencies_s, rewards)


def kill_a_replica(service: Service, rows: list[dict[str, Any]], expected: dict[int, float], tolerance: float) -> int:
    """Rows without the reward that they had before, when a replica is killed after a third of the answers."""
    pid = httpx.get(f"{service.endpoint.url}/healthz", timeout=60, trust_env=False).json()["pid"]

    def on_call(num_answered: int) -> None:
        if num_answered == len(rows) // 3:
            os.kill(pid, signal.SIGKILL)

    found = call_service(service, rows, 1, on_call)
    tell("single, a replica killed", "distinct", found.rate._replace(cpu=float("nan")))  # with it went its count
    kept = [i for i, reward in found.rewards.items() if abs(reward - expected[i]) <= tolerance]
    return len(rows) - len(kept)


def measure(
    service: Service, peers: PeersProcess, rows: dict[str, list[dict[str, Any]]], sizes: Sizes
) -> dict[str, Any]:
    """Rates by contestant and kind of rows, a list over the rounds; latencies of single, and its rewards."""
    rates: dict[str, list[Rate]] = {}
    apart: dict[str, float] = dict.fromkeys(rows, 0.0)
    latencies_s: list[float] = []

    def serve(contestant: str, name: str, num_rows: int, rows_per_call: int) -> Pass:
        found = call_service(service, rows[name][:num_rows], rows_per_call)
        tell(contestant, name, found.rate)
        rates.setdefault(f"{contestant} {name}", []).append(found.rate)
        return found

    served: dict[int, float] = {}
    for _ in range(sizes.rounds):
        for name in rows:
            before, direct = peers.run("raw", name, sizes.peer)
            batched = serve("batched", name, sizes.batched, BATCH)
            difference = max(abs(batched.rewards[i] - r) for i, r in enumerate(direct) if i in batched.rewards)
            apart[name] = max(apart[name], difference)
            single = serve("single", name, sizes.single, 1)
            if name == "distinct":
                latencies_s += single.latencies_s
                served = single.rewards
            rates.setdefault(f"pipeline {name}", []).append(peers.run("pipeline", name, sizes.peer)[0])
            after, _ = peers.run("raw", name, sizes.peer)
            both = [2 / (1 / first + 1 / second) for first, second in zip(before, after, strict=True)]
            rates.setdefault(f"raw {name}", []).append(Rate(*both))
    return {"rates": rates, "apart": apart, "latencies_s": sorted(latencies_s), "served": served}


def main() -> None:
    """Prepare, start, measure, kill, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows, one round; under 5 minutes")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/preference"))
    parser.add_argument("--dtype", choices=TOLERANCE, default="bf16")
    parser.add_argument("--rows", type=int, help="at most so many of each contestant in a round")
    parser.add_argument("--replicas", type=int, default=2, help="the cores are divided among them")
    parser.add_argument("--merge-rows", type=int, default=0, help="of waiting calls, computed together")
    arguments = parser.parse_args()
    from medray.serve.config import RewardServing, ServingPlacement
    from medray.serve.reward_app import ensure_reward_app
    from medray.session import SessionPlacement, ray_session

    sizes = SIZES[arguments.quick]
    if arguments.rows:
        sizes = Sizes(*(min(arguments.rows, size) for size in sizes[:3]), rounds=sizes.rounds)
    threads = max(1, (os.cpu_count() or 1) // arguments.replicas)
    placement = ServingPlacement(
        replicas=arguments.replicas, threads=threads, tokens_per_forward=1024, start_timeout_s=600, port=8323
    )  # fmt: skip
    serving = RewardServing(
        dtype=arguments.dtype, max_tokens=FAMILY_TOKENS, merge_rows=arguments.merge_rows, placement=placement
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        prepare(directory, arguments.data, max(sizes[:3]))
        rows = {kind: json.loads((directory / f"{kind}.json").read_text()) for kind in ("distinct", "siblings")}
        with ray_session(SessionPlacement()) as session:
            service = Service(ensure_reward_app(directory / "model", "benchmark", serving), session)
            peers = PeersProcess(directory, arguments.dtype)
            for kind in rows:  # first calls find kernels
                peers.run("pipeline", kind, 4)
                peers.run("raw", kind, BATCH)
            call_service(service, rows["distinct"][: 4 * arguments.replicas], 1)
            found = measure(service, peers, rows, sizes)
            peers.close()
            lost = kill_a_replica(
                service, rows["distinct"][: sizes.single], found["served"], TOLERANCE[arguments.dtype]
            )  # fmt: skip
    report(found, lost, f"{arguments.dtype}, {arguments.replicas} replicas of {threads} threads")


def report(found: dict[str, Any], lost: int, how: str) -> None:
    """Print the table and the JSON line."""
    rates, latencies_s = found["rates"], found["latencies_s"]

    def ratio(contestant: str, peer: str, name: str, clock: str = "wall") -> float:
        pairs = zip(rates[f"{contestant} {name}"], rates[f"{peer} {name}"], strict=True)
        return round(median(getattr(ours, clock) / getattr(theirs, clock) for ours, theirs in pairs), 3)

    for name, title in (("distinct", "every row another question's"), ("siblings", "K = 8 answers to a question")):
        print(f"{how}; {title}")
        print("contestant  rewards/s  over raw  over pipeline  and a processor second: over raw  pipeline")
        for contestant in ("batched", "single", "raw", "pipeline"):
            rate = median(rate.wall for rate in rates[f"{contestant} {name}"])
            wall, cpu = (
                [ratio(contestant, peer, name, clock) for peer in ("raw", "pipeline")] for clock in Rate._fields
            )
            print(f"{contestant:10}  {rate:9.2f}  {wall[0]:8.3f}  {wall[1]:13.3f}  {cpu[0]:32.3f}  {cpu[1]:8.3f}")
        print(f"rewards of batched and raw are at most {found['apart'][name]:.2g} apart")
    percentiles = [latencies_s[min(len(latencies_s) - 1, int(q * len(latencies_s)))] for q in (0.5, 0.99)]
    result = {
        "fraction_of_raw_batched": ratio("batched", "raw", "distinct"),
        "fraction_of_raw_single": ratio("single", "raw", "distinct"),
        "ratio_pipeline": ratio("batched", "pipeline", "distinct"),
        "p50_ms": round(1000 * percentiles[0]),
        "p99_ms": round(1000 * percentiles[1]),
        "lost": lost,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""The reward model without its service: transformers' own forward and pipeline, in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

BATCH = 32


class Rate(NamedTuple):
    """Rewards a second by the clock, and a second of processor time."""

    wall: float
    cpu: float


def tell(contestant: str, name: str, rate: Rate) -> None:
    """A pass that ended, on stderr."""
    print(f"{contestant} {name}: {rate.wall:.2f} rewards/s, {rate.cpu:.2f} a processor second, "
          f"load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)  # fmt: skip


class Peers:
    """Runs raw and pipeline in the peers' process."""

    def __init__(self, directory: Path, dtype: str):
        import torch
        from transformers import AutoModelForSequenceClassification, pipeline

        from medray.model.load import DTYPES, load_tokenizer

        torch.set_num_threads(os.cpu_count() or 1)
        self._tokenizer = load_tokenizer(directory / "model")
        self._model = AutoModelForSequenceClassification.from_pretrained(
            directory / "model", dtype=DTYPES[dtype]
        ).eval()
        self._model.config.pad_token_id = self._tokenizer.pad_token_id
        self._pipeline = pipeline(
            "text-classification", model=self._model, tokenizer=self._tokenizer, device="cpu", function_to_apply="none"
        )  # fmt: skip
        self._rows = {name: json.loads((directory / f"{name}.json").read_text()) for name in ("distinct", "siblings")}

    def run(self, contestant: str, name: str, num_rows: int) -> tuple[Rate, list[float]]:
        """How fast, and the rewards in order."""
        rows = self._rows[name][:num_rows]
        texts = [
            self._tokenizer.apply_chat_template(
                [*row["messages"], {"role": "assistant", "content": row["completion"]}], tokenize=False
            ).rstrip("\n")  # medray's renderer ends a row with its stop token
            for row in rows
        ]
        encoded = self._tokenizer(texts, add_special_tokens=False).input_ids
        began = time.perf_counter(), time.process_time()
        if contestant == "pipeline":
            rewards = [self._pipeline(text, batch_size=1)[0]["score"] for text in texts]
        else:
            rewards = self._raw(encoded)
        took = time.perf_counter() - began[0], time.process_time() - began[1]
        return Rate(*(len(rows) / seconds for seconds in took)), rewards

    def _raw(self, encoded: list[list[int]]) -> list[float]:
        import torch

        rewards = [0.0] * len(encoded)
        by_length = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        for start in range(0, len(by_length), BATCH):
            chosen = by_length[start : start + BATCH]
            batch = self._tokenizer.pad({"input_ids": [encoded[i] for i in chosen]}, return_tensors="pt")
            with torch.inference_mode():
                found = self._model(**batch, use_cache=False).logits[:, 0].float().tolist()
            for i, reward in zip(chosen, found, strict=True):
                rewards[i] = reward
        return rewards


def serve_peers(directory: Path, dtype: str) -> None:
    """The peers' process: a request a line in, a line with the result out."""
    peers = Peers(directory, dtype)
    print("READY", flush=True)
    for line in sys.stdin:
        print("RESULT " + json.dumps(peers.run(*json.loads(line))), flush=True)


class PeersProcess:
    """The driver's end of the peers' process."""

    def __init__(self, directory: Path, dtype: str):
        command = [sys.executable, "-m", "benchmarks.reward_peers", str(directory), dtype]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(os.cpu_count() or 1)},
        )  # fmt: skip
        self._read("READY")

    def run(self, contestant: str, name: str, num_rows: int) -> tuple[Rate, list[float]]:
        """As Peers.run."""
        self._process.stdin.write(json.dumps([contestant, name, num_rows]) + "\n")
        self._process.stdin.flush()
        found, rewards = json.loads(self._read("RESULT"))
        rate = Rate(*found)
        tell(contestant, name, rate)
        return rate, rewards

    def close(self) -> None:
        """End it."""
        self._process.stdin.close()
        self._process.wait(60)

    def _read(self, word: str) -> str:
        for line in self._process.stdout:
            if line.startswith(word):
                return line.removeprefix(word)
        raise SystemExit(f"the peers' process ended with {self._process.wait()}: see above")


if __name__ == "__main__":
    serve_peers(Path(sys.argv[1]), sys.argv[2])

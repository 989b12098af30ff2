"""The answer stage with stand-ins for engine and reward service that only wait: do its halves overlap?

python -m benchmarks.round_stand_ins DIRECTORY NUM_SHARDS
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from types import SimpleNamespace
from typing import Any

from benchmarks.round import SERVING, SIZES, sample_config
from medray.core.schema import PROMPT, write_table
from medray.core.workspace import Root, Workspace
from medray.preference import answer
from medray.preference.answer import AnswerConfig
from medray.preference.judge import JudgeConfig

SAMPLE_S, JUDGE_S = 0.5, 0.4
"""Seconds of one shard in an engine, and of its rewards in the service: one at a time in either."""


class StandInEngine:
    """Answers after a fixed time for each call."""

    def __init__(self, settings: Any):
        pass

    def render(self, model: str, model_id: str, conversations: Any) -> list[list[int]]:
        """A few ids for each."""
        return [[1, 2, 3]] * len(conversations)

    def generate(self, model: str, model_id: str, prompts: Any, seeds: Any, sampling: Any) -> list[list[Any]]:
        """One made completion for each seed."""
        from medray.generate.engine import _Generated

        time.sleep(SAMPLE_S)
        return [[_Generated([7], f"answer {seed}", "stop") for seed in each] for each in seeds]


class StandInService(BaseHTTPRequestHandler):
    """Rewards after a fixed time for each request, one request at a time."""

    busy = Lock()
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Health."""
        self._reply({"ok": True, "model_id": "stand-in"})

    def do_POST(self) -> None:
        """Rewards."""
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["rows"]
        with self.busy:
            time.sleep(JUDGE_S)
        rewards = [float(len(row["completion"])) for row in rows]
        self._reply({"rewards": rewards, "model_id": "stand-in", "num_truncated": 0})

    def _reply(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Nothing."""


def run(directory: Path, num_shards: int) -> dict[str, float]:
    """Wall seconds of the answer stage on stand-ins, Ray being up, over the longer of its two halves."""
    from medray.generate import engine
    from medray.serve import reward_app
    from medray.serve.schema import RewardEndpoint
    from medray.session import SessionPlacement, ray_session

    server = ThreadingHTTPServer(("127.0.0.1", 0), StandInService)
    Thread(target=server.serve_forever, daemon=True).start()
    endpoint = RewardEndpoint(f"http://127.0.0.1:{server.server_port}", "token", "stand-in")
    engine._Engine, reward_app.ensure_reward_app = StandInEngine, lambda *_, **__: endpoint
    (directory / "stand-in" / "model").mkdir(parents=True)
    (directory / "stand-in" / "model" / "config.json").write_text('{"hidden_size": 64, "num_attention_heads": 2}')
    rows = [
        {"id": f"p{i}", "task": "open", "messages": [{"role": "user", "content": f"{i}?"}], "options": [], "gold": -1,
         "reference": "", "group": "", "split": "round_0"}
        for i in range(8 * num_shards)
    ]  # fmt: skip
    write_table(directory / "stand-in" / "prompts.parquet", rows, PROMPT)
    artifact = SimpleNamespace(id="stand-in", data=directory / "stand-in")
    how = AnswerConfig(sample=sample_config(0, SIZES["quick"]), judge=JudgeConfig(serving=SERVING))
    workspace = Workspace(Root(str(directory / "stand-in-runs")), "answer", "1", "answer")
    with ray_session(SessionPlacement()):
        began = time.perf_counter()
        counters = answer.run(how, dict.fromkeys(("policy", "reward_model", "prompts"), artifact), workspace)
        wall = time.perf_counter() - began
    assert counters["num_completions"] == 4 * 8 * num_shards
    halves = {"sampling": num_shards * SAMPLE_S, "judging": num_shards * JUDGE_S}
    return {"wall": wall, **halves, "overlap": wall / max(halves.values())}


if __name__ == "__main__":
    (Path(sys.argv[1]) / "stand_ins.json").write_text(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]))))

"""The engines of a run: named Ray actors that are found again, started again and killed, whatever they compute."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import ray
from ray.exceptions import ActorUnavailableError, GetTimeoutError, RayActorError, RayTaskError

from medray.core.config import UserError
from medray.core.identity import content_id
from medray.generate.config import EnginePlacement

_PREFIX = "medray-engine"
_POLL_S = 0.5
_VOLATILE = ("_name_or_path", "dtype", "torch_dtype", "transformers_version", "use_cache")

_CPU_HEAD_DIMS = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)  # of vLLM's only attention on CPU
_kept: dict[str, Any] = {}  # handles: Ray ends a named actor when its creator holds none


class EnginesLost(UserError):
    """An engine died or hung at each of its tries."""


class EngineSettings(NamedTuple):
    """What an engine cannot change without a fresh start."""

    architecture: str
    dtype: str
    max_model_len: int
    placement: EnginePlacement


def ensure_engines(engine: type, settings: EngineSettings) -> list[str]:
    """Names of engines of class `engine` with these settings, one per replica; this job's other engines are killed."""
    placement = settings.placement
    tag = content_id(*settings[:3], placement.model_dump(exclude={"prompts_per_shard", "replicas"}))[:12]
    names = [f"{_job_prefix()}-{tag}-{replica}" for replica in range(placement.replicas)]
    running = _engine_names()
    for name in running:
        if name not in names:
            _kill(name)
    for name in names:
        if name in running:
            continue  # a second handle in place of the first would end it
        _kept[name] = (
            ray.remote(engine)
            .options(
                name=name,
                num_cpus=0.5,  # admission only: engine and reward replica must leave room on two logical CPUs
                num_gpus=placement.tensor_parallel if placement.use_gpu else 0,
                max_restarts=-1,  # `call` bounds the tries; a prompt that ends engines takes several to find
                max_task_retries=0,
                runtime_env={"env_vars": _environment(placement)},
            )
            .remote(settings)
        )
    return names


def shutdown_engines() -> None:
    """Kill this job's engines; no error when there are none."""
    if ray.is_initialized():
        for name in _engine_names():
            _kill(name)


def _environment(placement: EnginePlacement) -> dict[str, str]:
    environment = {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in process: starts in half the time, and a kill leaves no orphan
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # pinned threads would all sit on the cores of every other worker
        "OMP_NUM_THREADS": str(placement.threads),
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    if placement.batch_invariant:
        environment["VLLM_BATCH_INVARIANT"] = "1"
    openmp = Path(sys.prefix) / "lib" / "libiomp5.so"
    if openmp.exists() and not placement.use_gpu:
        environment["LD_PRELOAD"] = str(openmp)  # 1.3 times the tokens/s of GNU OpenMP (SmolLM2-135M, 2 threads)
        environment["KMP_BLOCKTIME"] = "5"  # ms an idle thread spins, on cores that others need
    return environment


def architecture(model: Path, placement: EnginePlacement) -> str:
    """Digest of a model's shape: engines of equal shape can swap weights.

    Raises UserError when the model has no config, and for what vLLM would only fail on later: heads that cannot be
    divided among the processes of an engine, or (CPU) heads of a width that it does not have.
    """
    path = Path(model) / "config.json"
    if not path.exists():
        raise UserError(f"{model}: no config.json, expected a Hugging Face model directory: give one")
    config = json.loads(path.read_text())
    num_heads = config.get("num_attention_heads") or 1
    if num_heads % placement.tensor_parallel:
        raise UserError(
            f"{path}: num_attention_heads is {num_heads}, expected a multiple of placement.tensor_parallel "
            f"({placement.tensor_parallel}): set it to a divisor, and have more replicas instead"
        )
    head_dim = config.get("head_dim") or config.get("hidden_size", 0) // num_heads
    if not placement.use_gpu and head_dim and head_dim not in _CPU_HEAD_DIMS:
        raise UserError(
            f"{path}: head_dim is {head_dim}, vLLM on CPU expects one of {', '.join(map(str, _CPU_HEAD_DIMS))}: "
            "take another model, or another hidden_size for a tiny one"
        )
    return content_id({k: v for k, v in config.items() if k not in _VOLATILE})


def _job_prefix() -> str:
    return f"{_PREFIX}-{ray.get_runtime_context().get_job_id()}"


def _engine_names() -> list[str]:
    return [name for name in ray.util.list_named_actors() if name.startswith(_job_prefix())]


def _kill(name: str) -> None:
    _kept.pop(name, None)
    try:
        ray.kill(ray.get_actor(name), no_restart=True)
    except ValueError:  # died meanwhile
        return


def call(name: str, method: str, placement: EnginePlacement, *args: Any) -> Any:
    """Result of one engine call; an engine that died, fell silent or failed to generate is started again, and asked
    again, `max_restarts` times in all.

    Waiting for one that is being started again is no try: it takes as long as its imports do.
    """
    problem, attempt, stop_at = "", 0, time.monotonic() + placement.call_timeout_s
    while attempt <= placement.max_restarts:
        time.sleep(min(attempt, 5))
        try:
            engine = ray.get_actor(name)
            return ray.get(getattr(engine, method).remote(*args), timeout=placement.call_timeout_s)
        except ActorUnavailableError:
            problem = problem or "is not up yet"
            if time.monotonic() < stop_at:
                time.sleep(_POLL_S)
                continue
        except RayTaskError as error:
            if method != "generate" or isinstance(error, UserError):
                raise
            problem = f"failed ({str(error.cause).strip()[:300]})"
            ray.kill(engine, no_restart=False)
        except RayActorError as error:
            problem = f"died ({str(error).strip().splitlines()[-1].strip()[:300]})"
        except GetTimeoutError:
            problem = f"gave nothing within {placement.call_timeout_s:g} s"
            ray.kill(engine, no_restart=False)
        except ValueError as error:
            if "Failed to look up actor" not in str(error):
                raise
            problem = problem or "is gone, its restarts are used up"
        attempt += 1
    raise EnginesLost(
        f"sampling: engine {name} {problem} at each of {placement.max_restarts + 1} tries, expected completions: "
        "lower max_num_seqs or kv_cache_gib, or give it more memory"
    )

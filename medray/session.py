"""One Ray session per run: start a local Ray or join a cluster, and leave nothing behind."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from medray.core.config import Placement, UserError
from medray.core.placement import num_cores

_TEMPORARY = "medray-ray-"
_ADDRESS_TIMEOUT_S = 5.0


class SessionPlacement(Placement):
    """The local Ray that a run starts when RAY_ADDRESS names no cluster."""

    logical_cpus: int = 8
    """Ray admits work by logical CPUs; threads are set by each stage's placement, so more than the cores is right."""
    object_store_bytes: int = 512 * 2**20


@contextmanager
def ray_session(placement: SessionPlacement, verbose: bool = False) -> Iterator[str]:
    """Run the block inside a Ray session; yields the session's directory name (to find its processes).

    Joins the cluster at RAY_ADDRESS, else starts a local Ray that obeys this process alone. Engines, the reward app,
    actors, shared-memory files and (local) the whole Ray are gone when the block ends, also by an interrupt.
    Raises UserError when RAY_ADDRESS names no cluster.
    """
    if os.environ.get("RAY_ADDRESS"):
        with _session(placement, verbose) as name:
            yield name
    else:
        with _authenticated(), _session(placement, verbose) as name:
            yield name


@contextmanager
def _authenticated() -> Iterator[None]:
    """A token for the local Ray, which only this process and what it starts know.

    Ray listens on all interfaces, whatever address it is given, and runs what it is asked to: without a token anybody
    on the network could run programs as this user. Left to itself, Ray 2.60 keeps one token for all in the home
    directory, which then locks a later `ray start` out of its own command line.
    """
    wanted = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    before = {name: os.environ.pop(name, None) for name in (*wanted, "RAY_AUTH_TOKEN_PATH")}
    os.environ.update(wanted)
    _forget_token()
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        _forget_token()


def _forget_token() -> None:
    """Have Ray read the environment again; no public way, and it remembers both for the life of the process."""
    from ray._raylet import AuthenticationTokenLoader, Config

    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _session(placement: SessionPlacement, verbose: bool) -> Iterator[str]:
    address = os.environ.get("RAY_ADDRESS")
    remove_leftovers()
    for name, value in _environment().items():
        os.environ.setdefault(name, value)
    temporary = None
    if address:
        _check_address(address)
    else:
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # one process less for each training stage
        temporary = tempfile.mkdtemp(
            prefix=f"{_TEMPORARY}{os.getpid()}-", dir="/tmp" if Path("/tmp").is_dir() else None
        )
    import ray

    options: dict[str, Any] = {"log_to_driver": verbose}
    options |= {"logging_level": logging.INFO if verbose else logging.ERROR, "configure_logging": verbose}
    if address:  # a local Ray inherits the environment; an explicit one would keep it from using its idle workers
        options["runtime_env"] = {"env_vars": _environment()}
    else:
        options |= {
            "num_cpus": max(placement.logical_cpus, num_cores()),
            "object_store_memory": placement.object_store_bytes,
            "include_dashboard": False,
            "_temp_dir": temporary,
            "_node_ip_address": "127.0.0.1",
        }
    failed = True
    # SIGINT too: a shell starts background jobs with it ignored
    previous = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        ray.init(address=address or "local", **options)
        for number in previous:  # Ray put its own handler in place: it prints a stack and aborts 3 s later
            signal.signal(number, _interrupt)
        yield Path(ray._private.worker._global_node.get_session_dir_path()).name
        failed = False
    except (UserError, KeyboardInterrupt):
        failed = False  # Ray's logs have nothing to add
        raise
    finally:
        for number in previous:  # a second Ctrl-C must not stop the clean-up half way
            signal.signal(number, signal.SIG_IGN)
        _shut_down()
        for number, handler in previous.items():
            signal.signal(number, handler)
        remove_leftovers()
        if temporary and failed:
            print(f"Ray's logs of this run: {temporary}/session_latest/logs", file=sys.stderr)
        elif temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def free_for(num_cpus: float, num_gpus: float) -> None:
    """Stop idle engines and the reward app when the cluster has no room left for what comes next."""
    import ray

    free = ray.available_resources()
    if free.get("CPU", 0) < num_cpus or free.get("GPU", 0) < num_gpus:
        _stop_services()


def _stop_services() -> None:
    from medray.generate.engine import shutdown_engines
    from medray.serve.reward_app import shutdown_reward_app

    shutdown_engines()
    shutdown_reward_app()


def _shut_down() -> None:
    import ray

    try:
        if ray.is_initialized():
            _stop_services()
    finally:
        ray.shutdown()


def _environment() -> dict[str, str]:
    return {
        # large tensors stay in one heap: fresh pages for each took a quarter of a training step (LOG.md)
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": str(16 * 2**30),
        "MALLOC_TRIM_THRESHOLD_": str(16 * 2**30),
        "DS_ACCELERATOR": "cpu" if not Path("/dev/nvidia0").exists() else "cuda",
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60",  # 5 by default, too few while engines start on the same cores
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "VLLM_LOGGING_LEVEL": "WARNING",
        "TRANSFORMERS_VERBOSITY": "error",
    }


def _interrupt(signum: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _check_address(address: str) -> None:
    """Ray itself waits half a minute for an address where nothing listens."""
    if address in ("auto", "local") or address.startswith("ray://"):
        return
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise UserError(
            f"RAY_ADDRESS={address}: expected host:port of a Ray head (default port 6379): correct or unset it"
        )
    try:
        socket.create_connection((host, int(port)), timeout=_ADDRESS_TIMEOUT_S).close()
    except OSError as error:
        raise UserError(
            f"RAY_ADDRESS={address}: no Ray cluster answers there ({error.strerror or error}): start one with "
            "`ray start --head`, correct the address, or unset RAY_ADDRESS to run on this machine alone"
        ) from error


def remove_leftovers() -> None:
    """Remove shared-memory files and Ray directories that dead runs of this user left on this machine.

    A killed vLLM engine leaves psm_* (and Intel's OpenMP a registration), a killed DeepSpeed worker deepspeed_* of
    69 MB each in /dev/shm; enough of them make Ray's memory monitor kill healthy workers.
    """
    shared = Path("/dev/shm")
    candidates = [p for pattern in ("psm_*", "deepspeed_*", "__KMP_REGISTERED_LIB_*") for p in shared.glob(pattern)]
    mine = [p for p in candidates if p.exists() and p.stat().st_uid == os.getuid()]
    mapped = _mapped_files() if mine else set()
    for path in mine:
        if str(path) not in mapped:
            path.unlink(missing_ok=True)
    for directory in Path("/tmp").glob(f"{_TEMPORARY}*"):
        pid = directory.name.removeprefix(_TEMPORARY).split("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)) and directory.stat().st_uid == os.getuid():
            shutil.rmtree(directory, ignore_errors=True)


def _mapped_files() -> set[str]:
    """Shared-memory files that a live process has mapped or open."""
    found: set[str] = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            lines = (process / "maps").read_text().splitlines()
            found.update(line.split(maxsplit=5)[5] for line in lines if "/dev/shm/" in line)
            found.update(os.readlink(fd) for fd in (process / "fd").iterdir())
        except (PermissionError, FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile, or another user's: its files are not ours either
    return found

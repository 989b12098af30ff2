"""The reward model as a Ray Serve application over HTTP. The only file that knows Ray Serve."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ray
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from ray import serve
from ray.serve.config import AutoscalingConfig
from ray.util import metrics

from medray.core.config import UserError
from medray.core.mirror import here, there
from medray.serve.batching import Batcher
from medray.serve.config import RewardServing, ServingPlacement
from medray.serve.schema import MAX_BODY_BYTES, RewardEndpoint, RewardReply, RewardRequest

_DEPLOYMENT = "reward_model"
_POLL_S = 0.2
_NUM_PORTS = 50
_COUNTED = (("rows", "rows judged"), ("rows_cut", "rows whose prompt lost its end"))
"""What each replica counts, and exports with Ray's and Serve's own metrics in Prometheus' format on its node."""
_BOUNDARIES_S = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]
api = FastAPI(title="medray reward model", docs_url=None, redoc_url=None, openapi_url=None)


class _Running(NamedTuple):
    key: tuple[str, str, str]  # model directory, model id, settings
    job_id: str
    endpoint: RewardEndpoint


_running: dict[str, _Running] = {}  # what this process deployed, by application: only it knows the tokens
_http: tuple[str, str, int] | None = None  # job, host, port of the Serve that this process started
_claims: list[Any] = []  # open lock files of the ports that this process took


@api.middleware("http")
async def _admit(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse a post without the token, and one that is too large, before its body is read."""
    if request.method == "POST":
        token, length = request.headers.get("authorization", "").removeprefix("Bearer "), _content_length(request)
        digest = hashlib.sha256(token.encode()).hexdigest()
        if not hmac.compare_digest(digest, serve.get_replica_context().servable_object.token_digest):
            headers = {"WWW-Authenticate": "Bearer"}
            return JSONResponse({"detail": "bearer token is missing or wrong"}, 401, headers)
        if length is None or length > MAX_BODY_BYTES:
            found = "an unknown length" if length is None else f"{length} bytes"
            detail = f"body of {found}, expected a Content-Length of at most {MAX_BODY_BYTES}: send fewer rows a call"
            return JSONResponse({"detail": detail}, 411 if length is None else 413)
    return await call_next(request)


def _content_length(request: Request) -> int | None:
    stated = request.headers.get("content-length", "")
    return int(stated) if stated.isdecimal() else None


@serve.deployment(name=_DEPLOYMENT)
@serve.ingress(api)
class RewardApp:
    """One replica: the model, and one thread that runs a request at a time, or several together (`merge_rows`).

    Where requests are not merged, a request's rewards depend on its rows alone, so a client that repeats one after a
    replica's death gets bitwise the same numbers.
    """

    def __init__(self, model: str, model_id: str, serving: dict[str, Any], token_digest: str):
        self.token_digest = token_digest
        self._model_id = model_id
        from medray.serve.rewarding import Rewarder  # torch and transformers: in replicas only

        config = RewardServing.model_validate(serving)
        self._rewarder = Rewarder(here(model), config)
        self._batcher = Batcher(self._rewarder.rewards, config.merge_rows)
        self._counters = [metrics.Counter(f"medray_reward_{name}", words, ("model",)) for name, words in _COUNTED]
        self._seconds = metrics.Histogram("medray_reward_seconds", "of a call", _BOUNDARIES_S, ("model",))
        for metric in (*self._counters, self._seconds):
            metric.set_default_tags({"model": model_id})

    @api.get("/healthz")
    async def healthz(self) -> dict[str, Any]:
        """State of the service; needs no token and tells no content."""
        return {"ok": True, "model_id": self._model_id, **self._rewarder.facts}

    @api.post("/rewards")
    async def rewards(self, request: RewardRequest) -> RewardReply:
        """Rewards of the rows, in order; 422 for a row whose completion alone is too long."""
        began = time.perf_counter()
        try:
            values, cut = await self._batcher.judged(request.rows)
        except UserError as error:
            raise HTTPException(422, str(error)) from error
        for counter, number in zip(self._counters, (len(values), sum(cut)), strict=True):
            if number:  # a counter takes no 0
                counter.inc(number)
        self._seconds.observe(time.perf_counter() - began)
        return RewardReply(rewards=tuple(values), model_id=self._model_id, num_truncated=sum(cut))


def ensure_reward_app(
    model: Path, model_id: str, serving: RewardServing, *, beside: Collection[str] = (), wait: bool = True
) -> RewardEndpoint:
    """The endpoint of a running service of this reward model; deployed now unless this process has it up already.

    Another model, or other settings, replace what runs, but for the models `beside` (their ids), with whom it shares
    what one alone would take of the CPU. The token is random per deployment; replicas know only its digest. Raises
    UserError when the service is not ready within placement.start_timeout_s, with its reason; without `wait` the
    service may still be starting: whoever asks it first calls `await_reward_app`.
    """
    assert ray.is_initialized(), "ensure_reward_app() needs Ray: start or join it first"
    job_id = ray.get_runtime_context().get_job_id()
    key = (str(model), model_id, serving.model_dump_json())
    name = f"medray-reward-{job_id}-{hashlib.sha256(repr(key).encode()).hexdigest()[:8]}"
    _retire([app for app, found in _running.items() if app != name and found.key[1] not in beside])
    if name in _running and _is_running(name):
        return _running[name].endpoint
    placement = serving.placement
    host, port = _start_http(job_id, placement.host, placement.port)
    token = secrets.token_urlsafe(32)
    app = RewardApp.options(
        **_pool(placement),
        max_ongoing_requests=max(16, serving.merge_rows),
        max_constructor_retry_count=2,  # three take two minutes to say that a model cannot be loaded
        health_check_period_s=2,
        health_check_timeout_s=60,  # a long request holds the interpreter lock at times
        graceful_shutdown_timeout_s=2,
        graceful_shutdown_wait_loop_s=0.1,  # 2 by default, waited out in full by a replica with nothing to do
        ray_actor_options={
            "num_cpus": 0.5 / len({model_id, *beside}),
            "num_gpus": 1 if placement.use_gpu else 0,
            "runtime_env": {"env_vars": {"OMP_NUM_THREADS": str(placement.threads), "HF_HUB_OFFLINE": "1"}},
        },
    ).bind(there(model), model_id, serving.model_dump(), hashlib.sha256(token.encode()).hexdigest())
    if name in serve.status().applications:
        serve.delete(name)  # an update in place would keep answering from the old model meanwhile
    target = serve.RunTarget(app, name=name, route_prefix=f"/{name}")
    serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
    endpoint = RewardEndpoint(f"http://{host}:{port}/{name}", token, model_id)
    if wait:
        await_reward_app(endpoint, serving)
    _running[name] = _Running(key, job_id, endpoint)
    return endpoint


def _pool(placement: ServingPlacement) -> dict[str, Any]:
    """How many replicas, as Serve takes it."""
    if placement.max_replicas is None or placement.max_replicas == placement.replicas:
        return {"num_replicas": placement.replicas}
    scaling = AutoscalingConfig(
        min_replicas=placement.replicas, max_replicas=placement.max_replicas,
        target_ongoing_requests=placement.calls_per_replica, upscale_delay_s=5, downscale_delay_s=60,
    )  # fmt: skip
    return {"autoscaling_config": scaling}


def shutdown_reward_app() -> None:
    """Take all services down, and Serve with them when nothing else runs there; no error when there is none."""
    global _http
    if ray.is_initialized() and _running:
        if serve.status().applications.keys() - _running:  # others' too
            _retire(list(_running))
        else:
            serve.shutdown()
            _http = None
            _claims.clear()
    _running.clear()


def _retire(names: Sequence[str]) -> None:
    """Take these applications down, as far as they are of this session."""
    job_id = ray.get_runtime_context().get_job_id()
    for name in names:
        if _running.pop(name).job_id == job_id and name in serve.status().applications:
            serve.delete(name)


def _is_running(name: str) -> bool:
    app = serve.status().applications.get(name)
    return app is not None and app.status == "RUNNING"


def await_reward_app(endpoint: RewardEndpoint, serving: RewardServing) -> None:
    """Wait until a service that was deployed runs; from any process of the cluster.

    Raises UserError with the reason when it cannot start, or has not within placement.start_timeout_s.
    """
    name, timeout_s = endpoint.url.rsplit("/", 1)[1], serving.placement.start_timeout_s
    stop_at = time.monotonic() + timeout_s
    while True:
        app = serve.status().applications.get(name)
        status = app.status.value if app else "not there"
        if status == "RUNNING":
            return
        late = time.monotonic() > stop_at
        if late or status == "DEPLOY_FAILED":
            said = [d.message for d in app.deployments.values() if d.message] if app else []
            reason = " ".join((said or [app.message if app else ""])[0].split())[-600:]
            serve.delete(name)
            raise UserError(
                f"reward service: {status} after at most {timeout_s:g} s, expected RUNNING: {reason or 'no reason'}: "
                "mend the model, free a CPU or GPU (engines keep theirs), or raise start_timeout_s"
            )
        time.sleep(_POLL_S)


def _start_http(job_id: str, host: str, port: int) -> tuple[str, int]:
    """Address of Serve's HTTP proxy, started on a free port when Serve does not run yet."""
    global _http
    if _http is None or _http[0] != job_id or not serve.status().proxies:
        from ray.serve.context import _get_global_client  # no public way to ask a running Serve for its port

        client = _get_global_client(raise_if_no_controller_running=False)
        if client is None:
            port = _free_port(host, port)
            serve.start(http_options={"host": host, "port": port, "request_timeout_s": 600}, proxy_location="HeadOnly")
        else:
            host, port = client.http_config.host, client.http_config.port
        _http = (job_id, host, port)
    _, host, port = _http
    return (host if host.startswith("127.") else ray.util.get_node_ip_address()), port


def _free_port(host: str, first: int) -> int:
    """A port that nobody listens on and no other medray of this user is about to take; claimed until Serve is down.

    Trap: Serve's proxy binds seconds later, with SO_REUSEPORT: two of them share a port, and each other's requests.
    """
    for port in range(first, min(first + _NUM_PORTS, 65536)):
        claim = open(Path(tempfile.gettempdir()) / f"medray-port-{os.getuid()}-{port}", "w")
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            claim.close()
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                claim.close()
                continue
        _claims.append(claim)
        return port
    raise UserError(f"serving.placement.port: {first} and the {_NUM_PORTS} after it are taken: give a free one")

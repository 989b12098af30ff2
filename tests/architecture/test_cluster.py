"""cluster/ and jobs/ agree with each other, with the pinned Ray, and with Ray's own schemas."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.architecture.test_repository import definitions, pins
from tests.architecture.tree import REPOSITORY

CLUSTER = REPOSITORY / "cluster"
RAY = pins("cpu")["ray"]
KUBERAY = {"raycluster.yaml": "RayCluster", "rayjob.yaml": "RayJob", "rayservice.yaml": "RayService"}


def load(name: str) -> dict:
    return yaml.safe_load((CLUSTER / name).read_text())


def cluster_spec(name: str) -> dict:
    spec = load(name)["spec"]
    return spec.get("rayClusterSpec") or spec.get("rayClusterConfig") or spec


def groups(name: str) -> list[dict]:
    spec = cluster_spec(name)
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def test_every_yaml_is_known_here():
    assert {path.name for path in CLUSTER.glob("*.yaml")} == {*KUBERAY, "autoscaler-aws.yaml"}


@pytest.mark.parametrize("name", KUBERAY)
def test_kuberay(name):
    document = load(name)
    assert (document["apiVersion"], document["kind"]) == ("ray.io/v1", KUBERAY[name])
    assert cluster_spec(name)["rayVersion"] == RAY
    for group in groups(name):
        (container,) = group["template"]["spec"]["containers"]
        assert re.fullmatch(r"YOUR-REGISTRY/medray:0\.1\.0-(cpu|gpu)", container["image"])
        limits, requests = container["resources"]["limits"], container["resources"]["requests"]
        assert limits == requests, "Ray reads the limits as the node's size: ask for what you allow"
        if "nvidia.com/gpu" in limits:
            assert container["image"].endswith("-gpu")
        mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
        assert mounts <= {volume["name"] for volume in group["template"]["spec"].get("volumes", [])}
    for group in cluster_spec(name)["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_the_jobs_entrypoint_exists():
    spec = load("rayjob.yaml")["spec"]
    python, script, *_ = spec["entrypoint"].split()
    assert python == "python" and (REPOSITORY / script).is_file()
    workdir = re.search(r"^WORKDIR (\S+)", (CLUSTER / "Dockerfile").read_text(), re.M).group(1)
    assert yaml.safe_load(spec["runtimeEnvYAML"])["working_dir"] == workdir


def test_the_service_is_what_ray_serve_accepts():
    from ray.serve.schema import ServeDeploySchema

    config = yaml.safe_load(load("rayservice.yaml")["spec"]["serveConfigV2"])
    (application,) = ServeDeploySchema.model_validate(config).applications
    module, function = application.import_path.split(":")
    path = REPOSITORY / (module.replace(".", "/") + ".py")
    assert function in definitions(path.read_text())
    app = (REPOSITORY / "medray/serve/reward_app.py").read_text()
    assert f'_DEPLOYMENT = "{application.deployments[0].name}"' in app

    from medray.serve.config import RewardServing

    RewardServing.model_validate({k: v for k, v in application.args.items() if k not in ("model", "model_id")})


def test_the_autoscaler_config_is_what_ray_accepts():
    config = load("autoscaler-aws.yaml")
    schema = Path(importlib.util.find_spec("ray").origin).parent / "autoscaler" / "ray-schema.json"
    jsonschema.validate(config, json.loads(schema.read_text()))
    types = config["available_node_types"]
    assert config["head_node_type"] in types
    assert "InstanceMarketOptions" not in types[config["head_node_type"]]["node_config"], "the head is no spot machine"
    workers = [node for name, node in types.items() if name != config["head_node_type"]]
    assert all(0 <= node["min_workers"] <= node["max_workers"] <= config["max_workers"] for node in workers)
    assert any(node["node_config"].get("InstanceMarketOptions") == {"MarketType": "spot"} for node in workers)


def test_the_image():
    text = (CLUSTER / "Dockerfile").read_text()
    bases = re.findall(r"rayproject/ray:([\d.]+)-", text)
    assert bases and set(bases) == {RAY}, "the base image's Ray is the pinned one"
    assert f"torch=={pins('cpu')['torch']}" in text
    for extra in ("cpu", "demo"):
        assert (REPOSITORY / "constraints" / f"{extra}.txt").is_file()
    assert (REPOSITORY / ".dockerignore").is_file()


def test_a_submitted_job_carries_the_code_and_nothing_else(tmp_path, monkeypatch):
    """What `ray job submit --working-dir .` uploads, by Ray's own walk over ignore files."""
    from ray._private.ray_constants import get_runtime_env_default_excludes
    from ray._private.runtime_env import packaging

    for name in (
        ".venv/lib/big",
        "runs/artifact/big",
        ".git/objects/big",
        "medray/cli.py",
        "jobs/pipeline.py",
        "tests/x.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    for name in (".gitignore", ".rayignore"):
        (tmp_path / name).write_text((REPOSITORY / name).read_text())
    uploaded: list[str] = []
    excludes = packaging._get_excludes(tmp_path, list(get_runtime_env_default_excludes()))
    packaging._dir_travel(
        tmp_path,
        [excludes],
        lambda path: uploaded.append(path.relative_to(tmp_path).as_posix()),
        include_gitignore=True,
    )
    files = {name for name in uploaded if (tmp_path / name).is_file()}
    assert files == {"medray/cli.py", "jobs/pipeline.py", ".gitignore", ".rayignore"}

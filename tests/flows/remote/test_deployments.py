"""prefect.yaml, the job template and the image: as far as they can be checked without Docker and a cluster."""

import json
from pathlib import Path
from typing import Any

import pytest
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.templating import apply_values, find_placeholders
from ruamel.yaml import YAML

from flows.remote import server
from flows.remote.worker import video

ROOT = Path(__file__).parents[3]
PREFECT = YAML(typ="safe", pure=True).load(ROOT / "prefect.yaml")
DEPLOYMENTS: dict[str, dict[str, Any]] = {one["name"]: one for one in PREFECT["deployments"]}
JOB: dict[str, Any] = json.loads((ROOT / "deploy/kubernetes.json").read_text())


def pod(deployment: str) -> dict[str, Any]:
    """The pod that Prefect would ask for: the template with its defaults and the deployment's own values."""
    defaults = {name: v["default"] for name, v in JOB["variables"]["properties"].items() if "default" in v}
    values = defaults | DEPLOYMENTS[deployment]["work_pool"]["job_variables"]
    manifest: dict[str, Any] = apply_values(JOB["job_configuration"]["job_manifest"], values)
    found: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("pool", server.POOLS)
def test_tav_worker_makes_the_deployments_of_prefect_yaml(pool: server.Pool) -> None:
    deployment = DEPLOYMENTS[pool]
    assert deployment["entrypoint"] == server.ENTRYPOINT == f"{video.fn.__module__}.{video.fn.__name__}"
    assert deployment["work_pool"] == {"name": server.pool_name(pool), "job_variables": {"env": server.ENV}}
    assert PREFECT["pull"] == server.PULL


@pytest.mark.parametrize("name", [f"{pool}-{kind}" for pool in server.POOLS for kind in ("docker", "kubernetes")])
def test_each_kind_of_pool_has_its_deployment(name: str) -> None:
    deployment = DEPLOYMENTS[name]
    assert deployment["entrypoint"] == server.ENTRYPOINT
    assert deployment["work_pool"]["name"] == f"tav-{name}"
    assert deployment["work_pool"]["job_variables"]["env"] == server.ENV
    (step,) = deployment["pull"]
    assert step == {"prefect.deployments.steps.git_clone": {"repository": "{{ $TAV_GIT }}"}}


def test_everything_in_one_folder_is_the_flow_of_tav_run() -> None:
    deployment = DEPLOYMENTS["all"]
    flow = load_flow_from_entrypoint(deployment["entrypoint"])
    assert flow.name == "tav"
    assert set(deployment["parameters"]) == set(flow.parameters.properties)


def test_the_template_asks_only_for_what_it_declares() -> None:
    asked = {placeholder.name for placeholder in find_placeholders(JOB["job_configuration"])}
    assert asked == set(JOB["variables"]["properties"])
    for name in ("gpu-kubernetes", "cpu-kubernetes"):
        assert set(DEPLOYMENTS[name]["work_pool"]["job_variables"]) <= asked


@pytest.mark.parametrize(("name", "gpus"), [("gpu-kubernetes", 1), ("cpu-kubernetes", 0)])
def test_a_pod_has_one_gpu_and_its_secrets_from_the_cluster(name: str, gpus: int) -> None:
    (container,) = pod(name)["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == gpus
    assert container["image"] == "tav"
    assert container["envFrom"] == [{"secretRef": {"name": "tav", "optional": True}}]
    assert pod(name)["securityContext"]["runAsNonRoot"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod(name)["volumes"]}


def test_a_container_has_one_gpu() -> None:
    options = DEPLOYMENTS["gpu-docker"]["work_pool"]["job_variables"]["container_create_kwargs"]
    assert options["device_requests"] == [{"count": 1, "capabilities": [["gpu"]]}]
    assert "device_requests" not in DEPLOYMENTS["cpu-docker"]["work_pool"]["job_variables"]["container_create_kwargs"]


def test_the_image_installs_this_repository_and_carries_no_secret() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert lines.index("COPY . .") < next(n for n, line in enumerate(lines) if "pip install" in line)
    assert [line for line in lines if line.startswith("USER")] == ["USER tav"]
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".dvc/config.local", "**/.env*"} <= set(ignored)

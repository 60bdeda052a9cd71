"""Checks of deploy/k8s: what Kustomize makes of every overlay."""

import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import yaml

from compose import pinned
from report import Report
from sources import ROOT, SERVICES, callers, documented, needed

# Variables that only serve to put DATABASE_URL together.
PARTS = {"DATABASE_USER", "DATABASE_PASSWORD", "POSTGRES_HOST", "POSTGRES_OPTIONS"}
# How long a process may take to end, SHUTDOWN_GRACE included, by docs/OPERATIONS.md, in seconds.
END = 20
VERSION = "1.34"
# Connections that PostgreSQL keeps for superusers, its operator, migrations and operators' tools.
SPARE = 20


def build(report: Report, directory: Path) -> list[dict]:
    tool = ["kubectl", "kustomize"] if shutil.which("kubectl") else ["kustomize", "build"]
    return [document for document in yaml.safe_load_all(report.run(*tool, str(directory))) if document]


def overlays() -> list[Path]:
    return sorted(path.parent for path in (ROOT / "deploy/k8s/overlays").glob("*/kustomization.yaml"))


def schema(report: Report, where: str, objects: list[dict]) -> None:
    """Custom resources are not known to the validator; their operators check them."""
    for each in objects:
        name = f"{where}: {each['kind']} {each['metadata']['name']}"
        if "." in each["apiVersion"].partition("/")[0] and not each["apiVersion"].partition("/")[0].endswith("k8s.io"):
            continue
        if each["apiVersion"].startswith("gateway.networking.k8s.io"):
            continue
        try:
            kubernetes_validate.validate(each, VERSION, strict=True)
            report.expect(True, "")
        except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
            report.expect(False, f"{name}: {error}")


def refuses(report: Report) -> None:
    """The validator notices what is wrong, so that its silence means something."""
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"port": [1]}}
    try:
        kubernetes_validate.validate(wrong, VERSION, strict=True)
        report.expect(False, "kubernetes-validate accepts what is wrong")
    except kubernetes_validate.ValidationError:
        report.expect(True, "")


def variables(container: dict, maps: dict[str, dict]) -> set[str]:
    found = {each["name"] for each in container.get("env", []) if each.get("value") or each.get("valueFrom")}
    for source in container.get("envFrom", []):
        # What an optional secret has is not known here.
        data = maps.get(source.get("configMapRef", {}).get("name"), {})
        found |= {name for name, value in data.items() if value}
    return found


def references(report: Report, where: str, objects: list[dict]) -> None:
    named = {(each["kind"], each["metadata"]["name"]) for each in objects}
    report.expect(not any(kind == "Secret" for kind, _ in named), f"{where}: contains a secret")
    for each in objects:
        if each["kind"] == "HorizontalPodAutoscaler":
            target = each["spec"]["scaleTargetRef"]
            report.expect((target["kind"], target["name"]) in named, f"{where}: an autoscaler scales {target['name']}, which is not there")
        if each["kind"] == "ScaledObject":
            target = each["spec"]["scaleTargetRef"]["name"]
            report.expect(("Deployment", target) in named, f"{where}: KEDA scales {target}, which is not there")
            report.expect(("HorizontalPodAutoscaler", target) not in named, f"{where}: two autoscalers for {target}")


def pod(report: Report, name: str, spec: dict) -> None:
    """Pod Security Standards, level restricted, and a read-only root."""
    context = spec.get("securityContext", {})
    report.expect(context.get("runAsNonRoot") is True and context.get("runAsUser", 0) > 0, f"{name}: may run as root")
    report.expect(context.get("seccompProfile", {}).get("type") == "RuntimeDefault", f"{name}: has no seccomp profile")
    report.expect(spec.get("automountServiceAccountToken") is False, f"{name}: gets a token of the cluster")
    for container in spec["containers"] + spec.get("initContainers", []):
        own = container.get("securityContext", {})
        restricted = own.get("allowPrivilegeEscalation") is False and own.get("capabilities", {}).get("drop") == ["ALL"]
        report.expect(restricted, f"{name}: {container['name']} may gain privileges")
        report.expect(own.get("readOnlyRootFilesystem") is True, f"{name}: {container['name']} may write into its image")
        report.expect(pinned(container["image"]), f"{name}: {container['image']} is not pinned")
        resources = container.get("resources", {})
        report.expect("memory" in resources.get("limits", {}) and "cpu" in resources.get("requests", {}), f"{name}: {container['name']} has no resources")


def service(report: Report, where: str, name: str, objects: list[dict], maps: dict[str, dict]) -> None:
    by_kind = {each["kind"]: each for each in objects if each["metadata"]["name"] == f"careeros-{name}"}
    where = f"{where}: {name}"
    for kind in ("Deployment", "Service", "ServiceAccount", "PodDisruptionBudget"):
        if not report.expect(kind in by_kind, f"{where} has no {kind}"):
            return
    report.expect(by_kind.keys() & {"HorizontalPodAutoscaler", "ScaledObject"}, f"{where} has no autoscaler")
    template = by_kind["Deployment"]["spec"]["template"]
    spec, (container,) = template["spec"], template["spec"]["containers"]
    set_ = variables(container, maps)
    report.expect(needed(name) <= set_, f"{where} lacks {sorted(needed(name) - set_)}")
    unknown = set_ - documented() - PARTS
    report.expect(not unknown, f"{where}: nobody reads {sorted(unknown)}")
    started = "/health/ready?exclude=broker" if SERVICES[name] else "/health/live"
    for probe, path in (("startupProbe", started), ("livenessProbe", "/health/live"), ("readinessProbe", "/health/serving")):
        report.expect(container.get(probe, {}).get("httpGet", {}).get("path") == path, f"{where}: {probe} is not {path}")
    # Two waits before the drain would only delay it.
    wait = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    report.expect(not wait or {"name": "SHUTDOWN_GRACE", "value": "0s"} in container.get("env", []), f"{where} waits twice before its end")
    report.expect(wait + END <= spec["terminationGracePeriodSeconds"], f"{where} is killed in its drain")
    report.expect(spec["serviceAccountName"] == f"careeros-{name}", f"{where} has another's account")
    report.expect(spec.get("topologySpreadConstraints"), f"{where} is not spread over nodes")
    image = container["image"].rsplit("/", 1)[-1].partition(":")[0]
    report.expect(image == name, f"{where} runs the image {image}")
    labels = template["metadata"]["labels"].items()
    for kind, selector in (
        ("PodDisruptionBudget", by_kind["PodDisruptionBudget"]["spec"]["selector"].get("matchLabels", {})),
        ("Service", by_kind["Service"]["spec"]["selector"]),
        ("Deployment", by_kind["Deployment"]["spec"]["selector"]["matchLabels"]),
    ):
        mine = selector.items() <= labels and selector.get("app.kubernetes.io/name") == f"careeros-{name}"
        report.expect(mine, f"{where}: its {kind} selects {selector}")
    ports = {port["port"] for port in by_kind["Service"]["spec"]["ports"]}
    report.expect(ports == ({8080, 50051} if SERVICES[name] else {8080}), f"{where} has the ports {ports}")


def connections(report: Report, where: str, objects: list[dict], config: dict[str, str]) -> None:
    """All processes that autoscalers may start, one more of each in a rollout, find connections to PostgreSQL."""
    servers = [each for each in objects if each["kind"] == "Cluster" and each["apiVersion"].startswith("postgresql.cnpg.io/")]
    most = {each["spec"]["scaleTargetRef"]["name"]: each["spec"]["maxReplicas"] for each in objects if each["kind"] == "HorizontalPodAutoscaler"}
    most |= {each["spec"]["scaleTargetRef"]["name"]: each["spec"]["maxReplicaCount"] for each in objects if each["kind"] == "ScaledObject"}
    # The relay's is not of the pool.
    of_a_process = int(config["DATABASE_MAX_CONNECTIONS"]) + 1
    wanted = sum((most[f"careeros-{name}"] + 1) * of_a_process for name, database in SERVICES.items() if database)
    for server in servers:
        allowed = int(server["spec"]["postgresql"]["parameters"]["max_connections"])
        report.expect(wanted + SPARE <= allowed, f"{where}: services may take {wanted} connections, PostgreSQL has {allowed}")


def network(report: Report, where: str, objects: list[dict]) -> None:
    policies = [each for each in objects if each["kind"] == "NetworkPolicy"]
    denied = any(p["spec"]["podSelector"] == {} and set(p["spec"]["policyTypes"]) == {"Ingress", "Egress"} and not p["spec"].get("ingress") for p in policies)
    report.expect(denied, f"{where}: no policy denies by default")
    for name, database in SERVICES.items():
        allowed = set()
        for policy in policies:
            if policy["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name") != f"careeros-{name}":
                continue
            for rule in policy["spec"].get("ingress", []):
                if 50051 in [port["port"] for port in rule.get("ports", [{"port": 50051}])]:
                    report.expect(rule.get("from"), f"{where}: everybody may call {name}")
                    for peer in rule.get("from", []):
                        (expression,) = peer["podSelector"]["matchExpressions"]
                        allowed |= {value.removeprefix("careeros-") for value in expression["values"]}
        expected = callers(name) if database else set()
        report.expect(allowed == expected, f"{where}: {name} is called by {sorted(expected)}, and {sorted(allowed)} may")


def overlay(report: Report, directory: Path) -> None:
    where, objects = directory.name, build(report, directory)
    schema(report, where, objects)
    maps = {each["metadata"]["name"]: each.get("data", {}) for each in objects if each["kind"] == "ConfigMap"}
    # Kustomize adds a hash of its content to the name.
    (config,) = [data for name, data in maps.items() if name.startswith("careeros-config-")]
    connections(report, where, objects, config)
    references(report, where, objects)
    for each in objects:
        template = each.get("spec", {}).get("template") if each["kind"] in ("Deployment", "Job") else None
        if template:
            pod(report, f"{where}: {each['metadata']['name']}", template["spec"])
            sources = [source for container in template["spec"]["containers"] for source in container.get("envFrom", [])]
            used = [source["configMapRef"]["name"] for source in sources if "configMapRef" in source]
            used += [volume["configMap"]["name"] for volume in template["spec"].get("volumes", []) if "configMap" in volume]
            report.expect(set(used) <= set(maps), f"{where}: {each['metadata']['name']} refers to {set(used) - set(maps)}")
    for name in SERVICES:
        service(report, where, name, objects, maps)
    network(report, where, objects)
    (namespace,) = [each for each in objects if each["kind"] == "Namespace"]
    report.expect(namespace["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") == "restricted", f"{where}: Pod Security is not enforced")
    waves = {each["kind"]: int(each["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", 0)) for each in objects}
    report.expect(waves["Namespace"] < waves["ConfigMap"] < waves["Job"] < waves["Deployment"], f"{where}: jobs do not come before services")

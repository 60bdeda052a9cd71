"""Checks of Dockerfiles/ and docker-compose.yml."""

import os
import re
import shutil
import subprocess

import yaml

from report import Report
from sources import PEERS, ROOT, SERVICES, documented, needed

MEMORY = 4 * 1024**3
UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}


def pinned(image: str) -> bool:
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    return bool(tag) and tag != "latest"


def dockerfiles(report: Report) -> None:
    files = {path.name.removesuffix(".Dockerfile"): path.read_text() for path in (ROOT / "Dockerfiles").glob("*.Dockerfile")}
    report.expect(set(files) == {*SERVICES, "migrations", "ops"}, f"Dockerfiles: one for each service, for migrations and for the tool, not {sorted(files)}")
    toolchain = re.search(r'channel = "(.*)"', (ROOT / "rust-toolchain.toml").read_text())
    builds = set()
    for name, text in files.items():
        build, _, final = text.partition("\nFROM scratch\n")
        builds.add(build.partition("\n")[2])
        report.expect(f"FROM rust:{toolchain[1]}-bookworm AS build" in build, f"{name}.Dockerfile: not the Rust of rust-toolchain.toml")
        report.expect("# syntax" not in text, f"{name}.Dockerfile: a syntax line would be pulled")
        report.expect("\nUSER 65532:65532\n" in final, f"{name}.Dockerfile: runs as root")
        if name in SERVICES:
            health = f'CMD ["/usr/local/bin/careeros", "{name}", "health"]'
            report.expect(health in final, f"{name}.Dockerfile: its HEALTHCHECK does not ask careeros-{name}")
            report.expect("/image/bin/careeros " in final and f'ENTRYPOINT ["/usr/local/bin/careeros", "{name}"]' in final, f"{name}.Dockerfile: starts something else")
    report.expect(len(builds) == 1, "Dockerfiles: their build stages differ, so everything is compiled more than once")


def compose(report: Report, environment: dict[str, str]) -> None:
    """`environment` holds the secrets that scripts/compose-env.sh makes up."""
    for missing in ("SERVICE_SHARED_SECRET", "AUTH_DB_PASSWORD"):
        some = {name: value for name, value in environment.items() if name != missing}
        told = subprocess.run(command(), capture_output=True, text=True, check=False, cwd=ROOT, env=some)
        report.expect(told.returncode != 0 and "compose-env.sh" in told.stderr, f"docker-compose.yml: without {missing} it does not say what to do")
    text = report.run(*command(), cwd=ROOT, env=environment)
    services = yaml.safe_load(text)["services"] if text else {}
    known = documented()
    total = 0
    for port, (name, database) in enumerate(SERVICES.items(), start=8080):
        service = services.get(name, {})
        variables = service.get("environment") or {}
        set_ = {variable for variable, value in variables.items() if value not in (None, "")}
        report.expect(needed(name) <= set_, f"docker-compose.yml: {name} lacks {sorted(needed(name) - set_)}")
        report.expect(set(variables) <= known, f"docker-compose.yml: nobody reads {sorted(set(variables) - known)} of {name}")
        ports = {str(each["published"]) if isinstance(each, dict) else each.rsplit(":", 2)[-2] for each in service.get("ports", [])}
        expected = {str(port)} | ({str(port - 2080)} if database else set())
        report.expect(ports == expected, f"docker-compose.yml: {name} has ports {ports}, not {expected}")
        report.expect(service.get("read_only") and service.get("cap_drop") == ["ALL"], f"docker-compose.yml: {name} may write or has capabilities")
        report.expect((service.get("build") or {}).get("dockerfile") == f"Dockerfiles/{name}.Dockerfile", f"docker-compose.yml: {name} is built from another file")
        if database:
            report.expect(f"@postgres:5432/{database}" in variables.get("DATABASE_URL", ""), f"docker-compose.yml: {name} has another's database")
        for variable, peer in PEERS.items():
            if variable in variables:
                report.expect(variables[variable] == f"{peer}:50051", f"docker-compose.yml: {variable} of {name} leads elsewhere")
    secrets = [value for variable, value in environment.items() if variable.endswith(("_PASSWORD", "_SECRET", "_SECRETS"))]
    raw = (ROOT / "docker-compose.yml").read_text()
    report.expect(not any(value in raw for value in secrets), "docker-compose.yml: contains a secret")
    for name, service in services.items():
        report.expect(pinned(service["image"]), f"docker-compose.yml: {service['image']} is not pinned")
        report.expect("mem_limit" in service, f"docker-compose.yml: {name} has no limit of memory")
        if not service.get("profiles"):
            limit = str(service.get("mem_limit", "0"))
            total += int(limit[:-1]) * UNITS[limit[-1]] if limit[-1] in UNITS else int(limit)
        for dependency in service.get("depends_on") or {}:
            report.expect(dependency in services, f"docker-compose.yml: {name} depends on {dependency}, which is not there")
    report.expect(0 < total <= MEMORY, f"docker-compose.yml: the limits add up to {total / 1024**3:.1f} GiB")


def command() -> list[str]:
    """Compose of either generation, without the .env of this checkout; variables come from the environment."""
    asked = ["docker", "compose", "version"]
    modern = shutil.which("docker") and subprocess.run(asked, capture_output=True, check=False).returncode == 0
    return [*(["docker", "compose"] if modern else ["docker-compose"]), "--env-file", os.environ["EMPTY"], "--profile", "observability", "config"]


def topics(report: Report, expected: set[str]) -> None:
    lines = [line.split() for line in (ROOT / "deploy/kafka/topics.txt").read_text().splitlines() if not line.startswith("#")]
    listed = {topic for topic, _ in lines}
    report.expect(listed == expected, f"topics.txt: differs from the events by {sorted(listed ^ expected)}")
    report.expect(all(int(count) > 0 for _, count in lines) and len(lines) == len(listed), "topics.txt: a topic twice or without partitions")


def ignored(report: Report) -> None:
    report.expect("/.env" in (ROOT / ".gitignore").read_text().split(), ".gitignore: .env could be committed")
    context = (ROOT / ".dockerignore").read_text().splitlines()
    left_out = {line for line in context if line and not line.startswith(("#", "!"))}
    report.expect(left_out <= {"*", "crates/*/examples", "crates/*/tests"}, f".dockerignore: programs may include some of {sorted(left_out)}")
    report.expect("*" in context and not any("env" in line for line in context if line.startswith("!")), ".dockerignore: secrets could get into an image")



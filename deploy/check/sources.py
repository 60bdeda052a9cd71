"""What the Rust sources say: variables that a service reads, whom it calls, topics, metrics."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Service, its database; in the order of their ports 8080 and 8081 to 8088.
SERVICES = {
    "gateway": None,
    "auth": "auth",
    "profile": "user_profile",
    "ai-core": "ai_core",
    "roadmap": "roadmap",
    "lms": "lms",
    "edu-tracker": "edu_tracker",
    "billing": "billing",
    "analytics": "analytics",
}
# A variable by which clients find a service.
PEERS = {f"{(database or name).upper()}_GRPC_URL": name for name, database in SERVICES.items() if database}


def read(*paths: Path) -> str:
    """The code of files or directories, without comments and unit tests."""
    text = ""
    for path in paths:
        for file in sorted(path.rglob("*.rs")) if path.is_dir() else [path]:
            code = file.read_text().split("#[cfg(test)]")[0]
            text += "\n".join(line for line in code.splitlines() if not line.lstrip().startswith("//")) + "\n"
    return text


def crate(service: str) -> str:
    return read(ROOT / "crates" / service / "src")


def needed(service: str) -> set[str]:
    """The variables without which a service does not start, or looks for others on its own machine."""
    common, stores = read(ROOT / "crates/shared/src/config.rs").split("impl Stores")
    code = common + crate(service)
    if "Stores::read" in code:
        code += stores
    names = re.findall(r'\.(?:required|secret)\(\s*"([A-Z_]+)"', code)
    names += re.findall(r'\bpeer\(\s*reader,\s*"([A-Z_]+)"', code)
    return set(names)


def callers(service: str) -> set[str]:
    """Who calls a service's RPCs."""
    variables = {variable for variable, peer in PEERS.items() if peer == service}
    return {name for name in SERVICES if name != service and needed(name) & variables}


def documented() -> set[str]:
    """The variables of .env.example."""
    return set(re.findall(r"^([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def topics() -> set[str]:
    payloads = read(ROOT / "crates/shared/src/events/payload.rs")
    names = re.findall(r'event!\(\s*\w+,\s*"\w+",\s*"([a-z.-]+)"', payloads)
    return {f"careeros.{name}.v1" for name in names}


def metrics() -> tuple[set[str], set[str]]:
    """Names as Prometheus shows them, and labels."""
    names, labels = set(), {"le", "instance", "job"}
    for file in (ROOT / "crates").glob("*/src/**/*.rs"):
        code = read(file)
        found = re.findall(r'metrics::(counter|gauge|histogram)!\(\s*"(\w+)"', code)
        for kind, name in found:
            names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
        if found:
            labels |= {arrow or pair for arrow, pair in re.findall(r'"(\w+)" =>|\("(\w+)",', code)}
    return names | {"up"}, labels

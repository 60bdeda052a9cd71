"""Checks of deploy/observability: dashboards and alerts use what the code has."""

import json
import re
import tempfile
from pathlib import Path

import yaml

from report import Report
from sources import ROOT, metrics

HERE = ROOT / "deploy/observability"
WORDS = {"and", "or", "unless", "offset", "bool", "by", "without", "on", "ignoring", "group_left", "group_right", "inf", "nan"}
LABELS = {"trace_id", "area"}


def parse(expression: str) -> tuple[set[str], set[str]]:
    """Metrics and labels of an expression."""
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
    text = re.sub(r"\[[^\]]*\]|\$\w+", "", text)
    labels = set()
    for matchers in re.findall(r"\{([^}]*)\}", text):
        labels |= set(re.findall(r"(\w+)\s*(?:=|!)", matchers))
    text = re.sub(r"\{[^}]*\}", "", text)
    for clause in re.findall(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", text):
        labels |= set(re.findall(r"\w+", clause))
    text = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", text)
    names = {name for name in re.findall(r"(?<![\w.:])([a-zA-Z_:][\w:]*)(?!\w|\s*\()", text) if name not in WORDS}
    return {name for name in names if not re.fullmatch(r"\d+[smhd]|[smhd]", name)}, labels


def uses(report: Report, where: str, expression: str, known: tuple[set[str], set[str]]) -> None:
    names, labels = parse(expression)
    report.expect(names, f"{where}: no metric in {expression}")
    report.expect(names <= known[0], f"{where}: no code has {sorted(names - known[0])}")
    report.expect(labels <= known[1] | LABELS, f"{where}: no metric has the label {sorted(labels - known[1] - LABELS)}")


def rules(report: Report, promtool: str) -> set[str]:
    """Checks the alerts; returns the names of recorded metrics."""
    path = HERE / "prometheus/rules/careeros.yaml"
    report.run(promtool, "check", "config", str(HERE / "prometheus/prometheus.yaml"))
    report.run(promtool, "test", "rules", str(HERE / "prometheus/rules.test.yaml"))
    every = [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]
    recorded = {rule["record"] for rule in every if "record" in rule}
    names, labels = metrics()
    runbook = (ROOT / "docs/OPERATIONS.md").read_text()
    for rule in every:
        where = f"rule {rule.get('alert') or rule['record']}"
        uses(report, where, rule["expr"], (names | recorded, labels))
        if "alert" in rule:
            anchor = rule["annotations"]["runbook_url"]
            report.expect(anchor == f"docs/OPERATIONS.md#{rule['alert'].lower()}", f"{where}: its runbook link is {anchor}")
            report.expect(re.search(rf"^#+ {rule['alert']}$", runbook, re.MULTILINE), f"{where}: docs/OPERATIONS.md has no such heading")
            report.expect(rule["labels"].get("severity") in ("page", "ticket"), f"{where}: has no severity")
    targets = yaml.safe_load((HERE / "prometheus/prometheus.yaml").read_text())["scrape_configs"][0]["static_configs"][0]["targets"]
    report.expect(len(targets) == 9, "prometheus.yaml: a service is not scraped")
    return recorded


def dashboards(report: Report, promtool: str, recorded: set[str]) -> None:
    names, labels = metrics()
    sources = {each["uid"] for each in yaml.safe_load((HERE / "grafana/provisioning/datasources/datasources.yaml").read_text())["datasources"]}
    expressions, uids = [], set()
    for path in sorted((HERE / "dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        uids.add(board["uid"])
        ids = [panel["id"] for panel in board["panels"]]
        report.expect(len(ids) == len(set(ids)), f"{path.name}: an id twice")
        for panel in board["panels"]:
            where = f"{path.name}: {panel['title']}"
            for target in panel["targets"]:
                report.expect(target["datasource"]["uid"] in sources, f"{where}: no such datasource")
                if target["datasource"]["type"] == "prometheus":
                    uses(report, where, target["expr"], (names | recorded, labels))
                    expressions.append(re.sub(r"\$__\w+", "5m", target["expr"]))
        for variable in board["templating"]["list"]:
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups()
            report.expect(metric in names and label in labels, f"{path.name}: the variable {variable['name']} has no values")
    report.expect(len(uids) >= 4, "dashboards: one of API, events, AI and business is missing or has another's uid")
    listed = yaml.safe_load((HERE / "kustomization.yaml").read_text())["configMapGenerator"][0]["files"]
    report.expect(len(listed) == len(uids), "observability/kustomization.yaml: lists other dashboards")
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "rules.yaml")
        group = {"name": "dashboards", "rules": [{"record": f"r{i}", "expr": text} for i, text in enumerate(expressions)]}
        file.write_text(yaml.safe_dump({"groups": [group]}))
        report.run(promtool, "check", "rules", str(file))


def configurations(report: Report) -> None:
    """Every exporter, receiver and processor that a pipeline of the collector names is there."""
    collector = yaml.safe_load((HERE / "collector.yaml").read_text())
    for name, pipeline in collector["service"]["pipelines"].items():
        for part in ("receivers", "processors", "exporters"):
            report.expect(set(pipeline[part]) <= set(collector[part]), f"collector.yaml: {name} names {part} that are not there")
    for path in (HERE / "tempo.yaml", HERE / "loki.yaml"):
        report.expect(isinstance(yaml.safe_load(path.read_text()), dict), f"{path.name}: not YAML")

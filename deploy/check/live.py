"""Asks a Prometheus that scrapes a live fleet what dashboards and alerts ask. Started by scripts/check-observability.sh.

live.py configuration GATEWAY     prints deploy/observability/prometheus/prometheus.yaml with this gateway as its only target
live.py ask GATEWAY PROMETHEUS    makes the traffic that the journey lacks, then asks everything
"""

import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

import yaml

from observability import parse
from report import Report
from sources import ROOT

HERE = ROOT / "deploy/observability"
PASSWORD = "correct horse battery staple"
PATIENCE = 90
# What has no series while all is well: a part of the selector, and why.
SILENT = {
    "consumer_events_dead_total": "no record fails",
    "outbox_parked_total": "the broker refuses no event",
    'status=~"5.."': "no request fails",
    "careeros:http_errors:rate5m": "no request fails",
    'code="13"': "no call fails by a fault of ours",
}


def configuration(gateway: str) -> None:
    """The fleet is one process, whose every port shows the metrics of all services."""
    text = yaml.safe_load((HERE / "prometheus/prometheus.yaml").read_text())
    text["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    text["rule_files"] = [str(HERE / "prometheus/rules/*.yaml")]
    careeros = text["scrape_configs"][0]
    careeros["static_configs"] = [{"targets": [urllib.parse.urlsplit(gateway).netloc]}]
    text["scrape_configs"] = [careeros]
    yaml.safe_dump(text, sys.stdout)


def call(url: str, body: dict | None = None, token: str = "") -> tuple[int, dict]:
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, {}


def traffic(report: Report, gateway: str) -> None:
    """A flow that the model answers, a login that fails, and more requests than one client may make."""
    account = {"email": f"observed-{uuid.uuid4().hex}@example.com", "password": PASSWORD}
    call(f"{gateway}/v1/auth/register", account)
    _, session = call(f"{gateway}/v1/auth/login", account)
    flow = {"userId": session["userId"], "tenantId": session["tenantId"], "flowName": "productivity_advisor", "input": {"minutes": 90}}
    status, answer = call(f"{gateway}/v1/ai/flows/execute", flow, session["tokens"]["accessToken"])
    report.expect((status, answer.get("status")) == (200, "SUCCESS"), f"the model does not answer a flow: {status} {answer}")
    status, _ = call(f"{gateway}/v1/auth/login", account | {"password": "wrong horse"})
    report.expect(status == 401, f"a wrong password is answered by {status}")
    refused = any(call(f"{gateway}/v1/lms/courses")[0] == 429 for _ in range(2000))
    report.expect(refused, "the rate limit refuses nobody")


def expressions() -> list[tuple[str, str]]:
    """Where, and what is asked there, with Grafana's variables as it fills them in."""
    found = []
    for path in sorted((HERE / "dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            found += [(f"{path.name}: {panel['title']}", each["expr"]) for each in panel["targets"] if each["datasource"]["type"] == "prometheus"]
        for variable in board["templating"]["list"]:
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups()
            found.append((f"{path.name}: ${variable['name']}", f'{metric}{{{label}!=""}}'))
    text = re.sub(r"\$__rate_interval", "1m", json.dumps(found))
    text = re.sub(r"\$__range", "5m", text)
    return [(where, asked) for where, asked in json.loads(re.sub(r"\$(flow|model|service)\b", ".*", text))]


def rules() -> list[tuple[str, str]]:
    text = yaml.safe_load((HERE / "prometheus/rules/careeros.yaml").read_text())
    return [(f"rule {rule.get('alert') or rule['record']}", rule["expr"]) for group in text["groups"] for rule in group["rules"]]


def selectors(expression: str) -> set[str]:
    """Metrics with what has to hold of their labels."""
    return {part for name in parse(expression)[0] for part in re.findall(rf"(?<![\w:]){name}(?![\w:])(?:\{{[^}}]*\}})?", expression)}


def answers(prometheus: str, expression: str) -> tuple[bool, bool, str]:
    """Whether it can be asked, whether anything comes back, and the number of series or what is wrong."""
    url = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            series = json.load(answer)["data"]["result"]
            # 0/0 is drawn as nothing.
            known = [each for each in series if each["value"][1] != "NaN"]
            return True, bool(known), f"{len(known)} series"
    except urllib.error.HTTPError as error:
        return False, False, error.read().decode()


def silent(expression: str) -> bool:
    return any(part in expression for part in SILENT)


def ask(gateway: str, prometheus: str) -> None:
    report = Report()
    traffic(report, gateway)
    panels = [(where, text) for where, text in expressions() if not silent(text)]
    parts = {(where, part) for where, text in expressions() + rules() for part in selectors(text) if not silent(part)}
    # A selector is asked for what was, as a gauge may be gone.
    asked = panels + sorted((where, f"last_over_time({part}[5m])") for where, part in parts)
    # Once is enough: a rate of what happened a minute ago is nothing again.
    end, waiting = time.monotonic() + PATIENCE, asked
    while (waiting := [each for each in waiting if not answers(prometheus, each[1])[1]]) and time.monotonic() < end:
        time.sleep(2)
    for where, text in asked:
        report.expect((where, text) not in waiting, f"{where}: nothing comes back for {text}")
    for where, text in expressions() + rules():
        can, _, told = answers(prometheus, text)
        report.expect(can, f"{where}: {told}")
    every = " ".join(text for _, text in expressions() + rules())
    for part in SILENT:
        report.expect(part in every, f"live.py: nobody asks for {part}")
    firing = answers(prometheus, 'ALERTS{alertstate="firing"}')
    report.expect(not firing[1], f"alerts fire without a reason: {firing[2]}")
    report.finish()


if __name__ == "__main__":
    {"configuration": configuration, "ask": ask}[sys.argv[1]](*sys.argv[2:])

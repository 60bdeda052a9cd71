"""Everything that can be checked of a deployment without deploying it. Started by scripts/check-deploy.sh."""

import os
import shutil

import compose
import kubernetes
import observability
from report import Report
from sources import topics


def main() -> None:
    report = Report()
    compose.dockerfiles(report)
    compose.ignored(report)
    compose.topics(report, topics())
    compose.compose(report, dict(os.environ))
    kubernetes.refuses(report)
    for directory in kubernetes.overlays():
        kubernetes.overlay(report, directory)
    promtool = shutil.which("promtool") or os.environ["PROMTOOL"]
    observability.dashboards(report, promtool, observability.rules(report, promtool))
    observability.configurations(report)
    report.finish()


main()

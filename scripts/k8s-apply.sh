#!/usr/bin/env bash
# Applies an overlay in order: configuration, stores and jobs; when the jobs are done, the services; waits for them.
#
#   ./scripts/k8s-apply.sh deploy/k8s/overlays/dev
set -euo pipefail

overlay=${1:-}
if [ ! -e "$overlay/kustomization.yaml" ]; then
    echo "k8s-apply: name an overlay, for example $0 deploy/k8s/overlays/dev" >&2
    exit 2
fi
services='app.kubernetes.io/component=service'
manifest=$(mktemp)
trap 'rm -f "$manifest"' EXIT
kubectl kustomize "$overlay" >"$manifest"
namespace=$(sed -n '/^kind: Namespace$/,/^---$/s/^  name: //p' "$manifest")

# A finished job cannot be changed; it is made anew for every version.
kubectl delete job --namespace "$namespace" --selector app.kubernetes.io/component=job --ignore-not-found --wait
kubectl apply --filename "$manifest" --selector "${services/=/!=}"
kubectl wait job --namespace "$namespace" --selector app.kubernetes.io/component=job --for=condition=complete --timeout=15m
kubectl apply --filename "$manifest" --selector "$services"
for deployment in $(kubectl get deployment --namespace "$namespace" --selector "$services" --output name); do
    kubectl rollout status --namespace "$namespace" "$deployment" --timeout=5m
done

#!/usr/bin/env bash
# What the official image does with its environment: KAFKA_A_B becomes the property a.b; storage is formatted once.
set -euo pipefail

properties=$(mktemp)
env | grep '^KAFKA_' | grep -v '^KAFKA_HEAP_OPTS=' | while IFS='=' read -r name value; do
    echo "$(echo "${name#KAFKA_}" | tr '[:upper:]_' '[:lower:].')=$value"
done >"$properties"
java() { command java -cp '/opt/kafka/libs/*' "$@"; }
java -Xmx128m kafka.tools.StorageTool format --ignore-formatted --cluster-id "$CLUSTER_ID" --config "$properties"
# shellcheck disable=SC2086 # several options
exec java ${KAFKA_HEAP_OPTS:-} -cp '/opt/kafka/libs/*' kafka.Kafka "$properties"

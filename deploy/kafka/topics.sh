#!/usr/bin/env bash
# Makes the topics of topics.txt that are missing. Repeating it is harmless: topics that are there stay as they are.
#
# KAFKA_BROKERS says where; KAFKA_TOPIC_REPLICATION (1) how many replicas; KAFKA_BIN where Kafka's tools are; the services'
# KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_* and KAFKA_SSL_CA_LOCATION how to get in. Events are kept for ever (retention.ms=-1),
# because projections are rebuilt from their topics.
set -euo pipefail

bin=${KAFKA_BIN:-/opt/kafka/bin}
list="$(dirname "$0")/topics.txt"
protocol=${KAFKA_SECURITY_PROTOCOL:-PLAINTEXT}

# The services' settings in the words of Kafka's tools.
client() {
    local login=scram.ScramLoginModule
    echo "security.protocol=${protocol^^}"
    if [ -n "${KAFKA_SASL_MECHANISM:-}" ]; then
        [ "$KAFKA_SASL_MECHANISM" != PLAIN ] || login=plain.PlainLoginModule
        echo "sasl.mechanism=$KAFKA_SASL_MECHANISM"
        echo "sasl.jaas.config=org.apache.kafka.common.security.$login required" \
            "username=\"$KAFKA_SASL_USERNAME\" password=\"$KAFKA_SASL_PASSWORD\";"
    fi
    if [ -n "${KAFKA_SSL_CA_LOCATION:-}" ]; then
        printf 'ssl.truststore.type=PEM\nssl.truststore.location=%s\n' "$KAFKA_SSL_CA_LOCATION"
    fi
}

topics() {
    "$bin/kafka-topics.sh" --bootstrap-server "${KAFKA_BROKERS:?set KAFKA_BROKERS}" --command-config <(client) "$@"
}

# A service may have made the topic meanwhile.
create() { # topic partitions
    topics --create --if-not-exists --topic "$1" --partitions "$2" \
        --replication-factor "${KAFKA_TOPIC_REPLICATION:-1}" --config retention.ms=-1 | sed '/^WARNING: Due to limitations/d'
}

missing() {
    local existing topic partitions
    existing=$(topics --list)
    while read -r topic partitions; do
        case "$topic" in '' | '#'*) continue ;; esac
        # Kafka's image has BusyBox, whose grep knows no long options.
        grep -qxF "$topic" <<<"$existing" || echo "$topic $partitions"
    done <"$list"
}

if [ "${1:-}" = create ]; then
    create "$2" "$3"
else
    # Each takes a virtual machine's start; four at a time.
    missing | xargs -r -n 2 -P 4 bash "$0" create
fi

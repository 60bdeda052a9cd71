#!/usr/bin/env bash
# Fetches Apache Kafka into .kafka/ and, where it is missing, installs a Java to run it. Says nothing when all is there;
# an interrupted run is simply run again. scripts/kafka.lock names the files and their checksums.
#
#   ./scripts/kafka.sh
#   CAREEROS_MAVEN_URL=https://maven.example.com/maven2 ./scripts/kafka.sh    from another Maven repository
set -euo pipefail
cd "$(dirname "$0")/.."

readonly repository=${CAREEROS_MAVEN_URL:-https://repo1.maven.org/maven2}
readonly folder=.kafka/jars lock=scripts/kafka.lock
readonly oldest_java=17

fail() { echo "kafka: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Java's major version; empty when there is none.
java_version() {
    have java || return 0
    java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n1
}

check_java() {
    local version
    version=$(java_version)
    [ "${version:-0}" -lt "$oldest_java" ] || return 0
    [ -n "$version" ] || version=none
    have apt-get && [ "$(id -u)" = 0 ] ||
        fail "Java $oldest_java or newer is needed, here is $version: install it (Debian: apt-get install openjdk-17-jre-headless; macOS: brew install openjdk)"
    echo "Installing with apt-get: openjdk-17-jre-headless"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || fail "apt-get update failed: check this machine's network and package sources"
    apt-get install -y -qq --no-install-recommends openjdk-17-jre-headless >/dev/null ||
        fail "apt-get could not install openjdk-17-jre-headless"
}

sum_of() {
    if have sha256sum; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1
}

fetch() {
    local sum=$1 path=$2 file=$folder/${2##*/}
    [ ! -f "$file" ] || [ "$(sum_of "$file")" != "$sum" ] || return 0
    curl --fail --silent --show-error --location --retry 3 --connect-timeout 20 --output "$file.part" "$repository/$path" ||
        fail "cannot fetch $repository/$path: check the network, or name another Maven repository by CAREEROS_MAVEN_URL"
    [ "$(sum_of "$file.part")" = "$sum" ] ||
        fail "$repository/$path is not the file that $lock names: its checksum differs"
    mv "$file.part" "$file"
}

check_java
have curl || fail "curl is missing: install it"
mkdir -p "$folder"
entries=$(grep -v '^#' "$lock")
# Another version's files would be on the class path too.
for file in "$folder"/*.jar; do
    [ ! -f "$file" ] || grep -q "/${file##*/}\$" <<<"$entries" || rm "$file"
done
count=$(wc -l <<<"$entries")
number=0
while read -r sum path; do
    number=$((number + 1))
    [ ! -t 2 ] || printf '\rFetching Apache Kafka: %d of %d ' "$number" "$count" >&2
    fetch "$sum" "$path"
done <<<"$entries"
[ ! -t 2 ] || printf '\r%40s\r' '' >&2

#!/usr/bin/env bash
# Builds every image and prints its size and how long that took.
#
#   ./scripts/images.sh                     careeros/<name>:dev
#   CAREEROS_TAG=1.4.0 ./scripts/images.sh  another tag; CAREEROS_REGISTRY=… goes before the name
#   ./scripts/images.sh --network host      arguments go to docker build
#
# The first build compiles everything, all others find it in BuildKit's cache.
set -euo pipefail
cd "$(dirname "$0")/.."

export DOCKER_BUILDKIT=1
tag=${CAREEROS_TAG:-dev}
prefix=${CAREEROS_REGISTRY:-careeros}

printf '%-40s %10s %8s\n' image size time
for file in Dockerfiles/*.Dockerfile; do
    image="$prefix/$(basename "$file" .Dockerfile):$tag"
    started=$SECONDS
    if ! docker build --quiet --file "$file" --tag "$image" "$@" . >/dev/null; then
        echo "images: $image cannot be built; docker build --file $file . tells more" >&2
        exit 1
    fi
    bytes=$(docker image inspect --format '{{.Size}}' "$image")
    printf '%-40s %7d MB %6d s\n' "$image" $(((bytes + 500000) / 1000000)) $((SECONDS - started))
done

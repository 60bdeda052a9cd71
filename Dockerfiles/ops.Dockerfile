# The operators' tool. Every file here begins with the same build, which BuildKit therefore runs once for all images.
FROM rust:1.95.0-bookworm AS manifests
COPY . /src
RUN /src/Dockerfiles/build.sh skeleton /src /skeleton

FROM rust:1.95.0-bookworm AS build
COPY --from=manifests /skeleton /src
RUN --mount=type=cache,id=careeros-cargo,sharing=locked,target=/usr/local/cargo/registry \
    --mount=type=cache,id=careeros-target,sharing=locked,target=/cache /src/Dockerfiles/build.sh dependencies
COPY . /src
RUN --mount=type=cache,id=careeros-cargo,sharing=locked,target=/usr/local/cargo/registry \
    /src/Dockerfiles/build.sh services

FROM scratch
COPY --from=build /image/runtime/ /
COPY --from=build /image/tools/careeros-ops /usr/local/bin/
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/careeros-ops"]

# The subscription billing service. Every file here begins with the same build, which BuildKit therefore runs once for all images.
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
COPY --from=build /image/bin/careeros /usr/local/bin/
USER 65532:65532
ENV HTTP_PORT=8080 GRPC_PORT=50051 LOG_FORMAT=json
EXPOSE 8080 50051
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/local/bin/careeros", "billing", "health"]
ENTRYPOINT ["/usr/local/bin/careeros", "billing"]

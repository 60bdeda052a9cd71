# All migrations: applies those of the eight databases and exits. Every file here begins with the same build, which BuildKit therefore runs once for all images.
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
COPY --from=build /image/shell/ /
COPY --from=build /image/bin/ /usr/local/bin/
COPY --from=build /src/scripts/apply-migrations.sh /usr/local/share/careeros/scripts/
USER 65532:65532
ENV CAREEROS_BIN=/usr/local/bin PATH=/usr/local/bin:/usr/bin:/bin LOG_FORMAT=json
ENTRYPOINT ["/bin/bash", "/usr/local/share/careeros/scripts/apply-migrations.sh"]

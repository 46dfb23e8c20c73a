# syntax=docker/dockerfile:1
# The image: a static binary and nothing else. From the root of the repository:
#
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg COMMIT=$(git rev-parse HEAD) --tag REGISTRY/portcullis .
#
# image/README.md says how the same is made and tried without an engine.
ARG RUST_VERSION=1.95.0

# Compilers; changes with the toolchain alone. Other architectures are cross-compiled, nothing is emulated. Versions of
# packages are not named: Debian keeps only the newest.
FROM --platform=$BUILDPLATFORM docker.io/library/rust:${RUST_VERSION}-slim-bookworm AS toolchain
ARG BUILDARCH
ARG TARGETARCH
# hadolint ignore=DL3008
RUN set -eu; \
    set -- gcc libc6-dev jq; \
    case "$BUILDARCH-$TARGETARCH" in \
        amd64-arm64) set -- "$@" gcc-aarch64-linux-gnu libc6-dev-arm64-cross ;; \
        arm64-amd64) set -- "$@" gcc-x86-64-linux-gnu libc6-dev-amd64-cross ;; \
    esac; \
    apt-get update; \
    apt-get install --yes --no-install-recommends "$@"; \
    rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY rust-toolchain.toml .
RUN rustup toolchain install

# What the binary is made of.
FROM toolchain AS sbom
COPY image/cyclonedx image/
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    image/cyclonedx
ARG TARGETARCH
ARG SOURCE_DATE_EPOCH=0
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    image/sbom "$TARGETARCH" /out/portcullis.cdx.json

# The binary, and the root filesystem. Registry and target folder stay from build to build.
FROM toolchain AS build
ARG TARGETARCH
ARG COMMIT=unknown
ARG SOURCE_DATE_EPOCH=0
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,id=target-$TARGETARCH \
    PORTCULLIS_COMMIT=$COMMIT image/binary "$TARGETARCH" /out/portcullis
COPY --from=sbom /out/portcullis.cdx.json /out/
RUN image/rootfs /out/portcullis /out/portcullis.cdx.json /out/rootfs.tar \
    && mkdir /rootfs && tar --extract --file /out/rootfs.tar --directory /rootfs

FROM scratch
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="portcullis" \
      org.opencontainers.image.description="An authorization sidecar with the exact semantics of AWS IAM" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$COMMIT" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/portcullis/portcullis"
COPY --from=build /rootfs/ /
USER 65532:65532
WORKDIR /
STOPSIGNAL SIGTERM
ENTRYPOINT ["/portcullis"]

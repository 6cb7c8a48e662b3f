# wxgate as an image:
#
#   docker build -t wxgate .
#   docker run --rm -p 127.0.0.1:8080:8080 wxgate serve --sandbox
#
# For a real deployment see deploy/README.md. WXGATE_CONFIG names the settings file, so that the
# health check finds it too.
#
# It needs BuildKit (Docker 23 or later). Behind mirrors, pass the base image and cargo's settings:
#
#   docker build -t wxgate --build-arg RUST_IMAGE=mirror.example.com/library/rust:1.95-slim-trixie \
#     --secret id=cargo-config,src="$HOME/.cargo/config.toml" .
#
# glibc and the CA roots date from the day of the build: rebuild once a month with --pull --no-cache.

ARG RUST_IMAGE=rust:1.95-slim-trixie
FROM ${RUST_IMAGE} AS build
# A command that fails inside a pipe fails the build.
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /src

# The dependencies alone, in a layer that stays until Cargo.toml or Cargo.lock changes.
# (The benches are not built, but cargo requires the files that Cargo.toml names.)
COPY Cargo.toml Cargo.lock ./
COPY benches benches
RUN --mount=type=secret,id=cargo-config,target=/usr/local/cargo/config.toml \
    mkdir src \
    && echo '//! Nothing yet.' > src/lib.rs \
    && printf '//! Nothing yet.\nfn main() {}\n' > src/main.rs \
    && cargo build --release --locked \
    && rm -r src

COPY src src
# Cargo compares modification times, and these files may be older than what was just built.
RUN --mount=type=secret,id=cargo-config,target=/usr/local/cargo/config.toml \
    touch src/lib.rs src/main.rs && cargo build --release --locked

# All that the binary needs: itself, the few libraries that it is linked to (ldd prints their paths), and
# the roots that WeChat's certificate is checked against.
RUN mkdir -p /image/usr/local/bin /volume/data/images \
    && cp target/release/wxgate /image/usr/local/bin/ \
    && ldd target/release/wxgate | grep -o '/[^ ]*' | xargs -I{} cp --parents --dereference {} /image \
    && cp --parents /etc/ssl/certs/ca-certificates.crt /image

# Nothing else is in the image: no shell, no package manager.
FROM scratch
LABEL org.opencontainers.image.title="wxgate" \
    org.opencontainers.image.description="A gateway between a company's H5 pages and WeChat" \
    org.opencontainers.image.licenses="MIT OR Apache-2.0" \
    org.opencontainers.image.version="0.2.0"
COPY --from=build /image /
# Not from /image: --chown leaves a folder alone that exists already.
COPY --from=build --chown=65532:65532 /volume/data /data

# The environment overrides a settings file. 9090 has no password: it is for Prometheus and probes
# in the same network, and must not be published.
ENV WXGATE__SERVER__LISTEN=0.0.0.0:8080 \
    WXGATE__INTERNAL__LISTEN=0.0.0.0:9090 \
    WXGATE__IMAGE_STORE__LOCAL__DIRECTORY=/data/images
EXPOSE 8080 9090

# Only /data is ever written, and only by the local image store: the root file system may be
# read-only.
VOLUME /data
USER 65532:65532
# `wxgate sandbox` listens on another port; deploy/README.md says how to check its health.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/usr/local/bin/wxgate", "health"]
ENTRYPOINT ["/usr/local/bin/wxgate"]
CMD ["serve"]

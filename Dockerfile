# wxgate as an image:
#
#   docker build -t wxgate .
#   docker run --rm -p 8080:8080 wxgate serve --sandbox
#
# For a real deployment see deploy/README.md. A settings file is named by WXGATE_CONFIG, so that the
# health check finds it too.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src

# The dependencies alone, in a layer that stays until Cargo.toml or Cargo.lock changes.
# (The benches are not built, but cargo wants the files that Cargo.toml names.)
COPY Cargo.toml Cargo.lock ./
COPY benches benches
RUN mkdir src \
    && echo '//! Nothing yet.' > src/lib.rs \
    && printf '//! Nothing yet.\nfn main() {}\n' > src/main.rs \
    && cargo build --release --locked \
    && rm -r src

COPY src src
# Cargo goes by the files' times, and these may be older than what was just built.
RUN touch src/lib.rs src/main.rs && cargo build --release --locked

# All that the binary needs: itself, the few libraries that it is linked to (ldd prints their paths), and
# the roots that WeChat's certificate is checked against.
RUN mkdir -p /image/usr/local/bin /image/data/images \
    && cp target/release/wxgate /image/usr/local/bin/ \
    && ldd target/release/wxgate | grep -o '/[^ ]*' | xargs -I{} cp --parents --dereference {} /image \
    && cp --parents /etc/ssl/certs/ca-certificates.crt /image

# Nothing else is in the image: no shell, no package manager, nothing to keep up to date but wxgate.
FROM scratch
COPY --from=build /image /
COPY --from=build --chown=65532:65532 /image/data /data

# The environment goes before a settings file. 9090 has no password: it is for Prometheus and probes
# in the same network, and must not be published.
ENV WXGATE__SERVER__LISTEN=0.0.0.0:8080 \
    WXGATE__INTERNAL__LISTEN=0.0.0.0:9090 \
    WXGATE__IMAGE_STORE__LOCAL__DIRECTORY=/data/images
EXPOSE 8080 9090

# Nothing but /data is ever written, and that only by the local image store: the root file system may
# be read-only.
VOLUME /data
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["/usr/local/bin/wxgate", "health"]
ENTRYPOINT ["/usr/local/bin/wxgate"]
CMD ["serve"]

# wxgate as an image:
#
#   docker build -t wxgate .
#   docker run --rm -p 8080:8080 wxgate serve --sandbox
#
# For a real deployment see README.md. A settings file is named by WXGATE_CONFIG, so that the health
# check finds it too.

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

# Debian rather than distroless: every mirror has it, and the binary needs only its libc and libgcc_s.
FROM debian:bookworm-slim
# The roots that WeChat's certificate is checked against.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/target/release/wxgate /usr/local/bin/wxgate
RUN install -d -o 65532 -g 65532 /data /data/images

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
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["wxgate", "health"]
ENTRYPOINT ["wxgate"]
CMD ["serve"]

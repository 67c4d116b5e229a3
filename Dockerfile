# docker build -t freehold .
# docker run --rm -p 8808:8808 -e FREEHOLD_TOKEN="$(openssl rand -hex 32)" freehold
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p freehold-cli && strip target/release/freehold

# The C library and nothing else: no shell, no package manager.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/freehold /usr/local/bin/freehold
COPY --from=build /src/LICENSE-APACHE /src/LICENSE-MIT /usr/share/doc/freehold/
USER nonroot
EXPOSE 8808
ENV FREEHOLD_LOG_FORMAT=json
# Asks the admin address, which listens on this container's loopback only. /livez needs no token.
HEALTHCHECK --interval=10s --timeout=6s --start-period=5s CMD ["/usr/local/bin/freehold", "health"]
# It handles SIGTERM as process 1: docker stop --time 20 leaves the drain (10 s) its time.
ENTRYPOINT ["/usr/local/bin/freehold"]
CMD ["serve", "--http", "0.0.0.0:8808"]

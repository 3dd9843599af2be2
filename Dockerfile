# syntax=docker/dockerfile:1
# The image of all programs, with a container engine. `cargo xtask image` makes the same without one.
#   docker build -t localhost/steersman:0.1.0 .

# Alpine's Rust links static programs.
FROM rust:1.95-alpine AS build
RUN apk add --no-cache ca-certificates musl-dev
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --package steersman --features programs --profile image --bin steersman \
    && cargo xtask image --programs target/image --out /tmp/steersman.tar \
    && mkdir -p /image/usr/local/bin /image/usr/share/sbom /image/etc/ssl/certs \
    && cp target/image/steersman /image/usr/local/bin/ \
    && cp /tmp/steersman.cdx.json /image/usr/share/sbom/ \
    && ln -s steersman /image/usr/local/bin/steersman-controllers \
    && ln -s steersman /image/usr/local/bin/steersman-scheduler \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && printf 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' > /image/etc/passwd \
    && printf 'root:x:0:\nnonroot:x:65532:\n' > /image/etc/group

FROM scratch
LABEL org.opencontainers.image.title="Steersman" \
      org.opencontainers.image.description="Kubernetes' control plane in Rust" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image /
COPY LICENSE /usr/share/licenses/steersman/LICENSE
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/usr/local/bin/steersman"]

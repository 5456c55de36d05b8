# The same image as `bun build.ts --oci DIR`, for those who build with a daemon:
#
#     docker build --build-arg COMMIT=$(git rev-parse --short=12 HEAD) -t registry-facade .
#
# The final stage has no shell. Probes are HTTP: /ready and /live on `readinessProbeAddr`; there is no HEALTHCHECK, because
# an orchestrator asks for itself.
FROM node:22-bookworm-slim AS build
WORKDIR /src
COPY package.json bun.lock .npmrc ./
RUN npx --yes bun@1.4.5 install --frozen-lockfile
COPY . .
ARG COMMIT=unknown
RUN node_modules/.bin/bun build.ts

FROM gcr.io/distroless/base-debian12:nonroot
COPY --from=build --chown=0:0 --chmod=755 /src/dist/registry-facade /app/registry-facade
USER 65532:65532
EXPOSE 31750
ENTRYPOINT ["/app/registry-facade"]
CMD ["run", "/config/config.json"]

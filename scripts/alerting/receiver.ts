/** A webhook that hands over what Alertmanager tells: for trying alerts out, and for tests. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';

/** https://prometheus.io/docs/alerting/latest/configuration/#webhook_config */
const notificationSchema = z.object({
  status: z.enum(['firing', 'resolved']),
  alerts: z.array(
    z.object({
      status: z.enum(['firing', 'resolved']),
      labels: z.record(z.string(), z.string()),
      annotations: z.record(z.string(), z.string()),
    }),
  ),
});

export type Alert = z.infer<typeof notificationSchema>['alerts'][number];

export interface Receiver {
  readonly url: string;
  close(): Promise<void>;
}

const MAX_BODY_BYTES = 4 << 20;

export async function startReceiver(onAlert: (alert: Alert) => void): Promise<Receiver> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_BODY_BYTES) request.destroy();
      else chunks.push(chunk);
    });
    request.on('end', () => {
      try {
        const { alerts } = notificationSchema.parse(JSON.parse(Buffer.concat(chunks).toString('utf8')));
        for (const alert of alerts) onAlert(alert);
      } catch {
        // Alertmanager says so in its log; it does not repeat what was refused with 4xx.
        response.statusCode = 400;
      }
      response.end();
    });
    request.on('error', () => undefined);
  });
  server.requestTimeout = 5_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

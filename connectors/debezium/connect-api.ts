/** The few calls of Kafka Connect's REST interface that Sluice makes. Every call has a deadline. */
import { z } from 'zod';
import type { ConnectorConfig } from './config.ts';
import { connectStatusError, connectUnreachable } from './errors.ts';

const state = z.enum(['UNASSIGNED', 'RUNNING', 'PAUSED', 'STOPPED', 'FAILED', 'RESTARTING', 'DESTROYED']);

const statusSchema = z.object({
  name: z.string(),
  connector: z.object({ state, worker_id: z.string(), trace: z.string().optional() }),
  tasks: z.array(z.object({ id: z.number(), state, worker_id: z.string(), trace: z.string().optional() })),
});

export type ConnectorStatus = z.infer<typeof statusSchema>;

const configSchema = z.record(z.string(), z.string());
/** The one source partition of a Debezium connector for Postgres. */
const offsetsSchema = z.object({
  offsets: z.array(z.object({ offset: z.record(z.string(), z.unknown()).nullable() })),
});

const errorSchema = z.object({ message: z.string() });

const REQUEST_TIMEOUT_MS = 10_000;
/** A registration validates the configuration against the database. */
const REGISTER_TIMEOUT_MS = 60_000;

interface Call {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  readonly doing: string;
  readonly body?: unknown;
  readonly timeoutMs?: number;
}

export class ConnectApi {
  readonly #url: string;

  /** @param url http://HOST:PORT of any worker */
  constructor(url: string) {
    this.#url = url.replace(/\/+$/, '');
  }

  /** The registered configuration, or null when there is no such connector. */
  async config(name: string): Promise<ConnectorConfig | null> {
    const answer = await this.#call({ method: 'GET', path: `${path(name)}/config`, doing: `read ${name}` });
    return answer.kind === 'absent' ? null : configSchema.parse(answer.body);
  }

  async putConfig(name: string, config: ConnectorConfig): Promise<void> {
    const doing = `register ${name}`;
    await this.#call({
      method: 'PUT',
      path: `${path(name)}/config`,
      body: config,
      doing,
      timeoutMs: REGISTER_TIMEOUT_MS,
    });
  }

  /** Null when there is no such connector, or no worker has it yet. */
  async status(name: string): Promise<ConnectorStatus | null> {
    const answer = await this.#call({
      method: 'GET',
      path: `${path(name)}/status`,
      doing: `read the status of ${name}`,
    });
    return answer.kind === 'absent' ? null : statusSchema.parse(answer.body);
  }

  /** The stored offset as Debezium wrote it, or null when there is none. */
  async offset(name: string): Promise<Readonly<Record<string, unknown>> | null> {
    const answer = await this.#call({
      method: 'GET',
      path: `${path(name)}/offsets`,
      doing: `read the offsets of ${name}`,
    });
    return answer.kind === 'absent' ? null : (offsetsSchema.parse(answer.body).offsets[0]?.offset ?? null);
  }

  /** Starts what has failed again; what runs is left alone. */
  async restartFailed(name: string): Promise<void> {
    const query = 'restart?includeTasks=true&onlyFailed=true';
    await this.#call({ method: 'POST', path: `${path(name)}/${query}`, doing: `restart ${name}` });
  }

  /** Stops the connector; its configuration stays, and its offsets may be deleted. */
  async stop(name: string): Promise<void> {
    await this.#call({ method: 'PUT', path: `${path(name)}/stop`, doing: `stop ${name}` });
  }

  async deleteOffsets(name: string): Promise<void> {
    const doing = `delete the offsets of ${name}`;
    await this.#call({ method: 'DELETE', path: `${path(name)}/offsets`, doing, timeoutMs: REGISTER_TIMEOUT_MS });
  }

  /** Whether there was one. */
  async delete(name: string): Promise<boolean> {
    const answer = await this.#call({ method: 'DELETE', path: path(name), doing: `delete ${name}` });
    return answer.kind === 'present';
  }

  async #call(call: Call): Promise<{ kind: 'absent' } | { kind: 'present'; body: unknown }> {
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${this.#url}${call.path}`, {
        method: call.method,
        headers: { accept: 'application/json', 'content-type': 'application/json' },
        body: call.body === undefined ? undefined : JSON.stringify(call.body),
        signal: AbortSignal.timeout(call.timeoutMs ?? REQUEST_TIMEOUT_MS),
      });
      text = await response.text();
    } catch (cause) {
      throw connectUnreachable(this.#url, cause);
    }
    if (response.status === 404) return { kind: 'absent' };
    if (!response.ok) throw connectStatusError(response.status, messageOf(text), call.doing);
    return { kind: 'present', body: text === '' ? null : JSON.parse(text) };
  }
}

const path = (name: string): string => `/connectors/${encodeURIComponent(name)}`;

function messageOf(text: string): string {
  try {
    return errorSchema.parse(JSON.parse(text)).message;
  } catch {
    return text.slice(0, 500);
  }
}

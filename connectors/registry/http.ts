/** Requests to the schema registry: each has a deadline, and is tried again a bounded number of times. */
import { setTimeout as delay } from 'node:timers/promises';
import { SluiceError } from '../../engine/errors.ts';
import { answerError, transportError } from './errors.ts';

export interface HttpOptions {
  /** Up to the version, without a slash at the end: `http://127.0.0.1:18081/apis/ccompat/v7`. */
  readonly url: string;
  /** Of one attempt. */
  readonly timeoutMs?: number;
  readonly attempts?: number;
}

export type Method = 'GET' | 'POST' | 'PUT';

export interface Answer {
  readonly status: number;
  /** `error_code` of the body; 0 when there is none. */
  readonly errorCode: number;
  readonly body: unknown;
}

const MEDIA_TYPE = 'application/vnd.schemaregistry.v1+json';
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 2_000;

export class RegistryHttp {
  readonly #url: string;
  readonly #timeoutMs: number;
  readonly #attempts: number;

  constructor({ url, timeoutMs = 5_000, attempts = 5 }: HttpOptions) {
    this.#url = url.replace(/\/+$/, '');
    this.#timeoutMs = timeoutMs;
    this.#attempts = attempts;
  }

  /**
   * Sends a request. An answer with one of the `expected` error codes is returned; any other that is not 2xx throws a
   * SluiceError by the table, after retries where the table says so.
   */
  async send(method: Method, path: string, body?: unknown, expected: readonly number[] = []): Promise<Answer> {
    const what = `${method} ${path}`;
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await this.#once(method, path, body);
        if (answer.status < 300 || expected.includes(answer.errorCode)) return answer;
        throw answerError(what, { ...answer, message: messageOf(answer.body) });
      } catch (error) {
        if (!(error instanceof SluiceError) || error.action !== 'retry' || attempt >= this.#attempts) throw error;
        // Full jitter, so that workers that start together do not come back together.
        await delay(Math.random() * Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** attempt));
      }
    }
  }

  async #once(method: Method, path: string, body: unknown): Promise<Answer> {
    const what = `${method} ${this.#url}${path}`;
    try {
      const response = await fetch(this.#url + path, {
        method,
        headers: {
          accept: `${MEDIA_TYPE}, application/json`,
          ...(body !== undefined && { 'content-type': MEDIA_TYPE }),
        },
        body: body === undefined ? null : JSON.stringify(body),
        signal: AbortSignal.timeout(this.#timeoutMs),
      });
      const parsed = parse(await response.text());
      return { status: response.status, errorCode: errorCodeOf(parsed), body: parsed };
    } catch (error) {
      throw transportError(what, error);
    }
  }
}

/** The body as JSON, or as text when it is none (a proxy's error page). */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text.slice(0, 500);
  }
}

function errorCodeOf(body: unknown): number {
  const given = typeof body === 'object' && body !== null && 'error_code' in body ? body.error_code : 0;
  return typeof given === 'number' ? given : 0;
}

function messageOf(body: unknown): string {
  if (typeof body === 'object' && body !== null && 'message' in body) return String(body.message);
  return String(body);
}

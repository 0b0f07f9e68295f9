/** The top five of the 10-minute board, as an application would read it from Redis. */
import { Redis } from 'ioredis';
import type { Board } from './state.ts';

const TAG = '{engagement:10m}';
const EMPTY: Board = { entries: [], asOfMs: null };

export class BoardReader {
  readonly #redis: Redis;

  constructor(url: string) {
    // Shown once a second: a Redis that is away is simply an empty board until it is back.
    this.#redis = new Redis(url, { maxRetriesPerRequest: 0, enableOfflineQueue: false, commandTimeout: 1_000 });
    this.#redis.on('error', () => undefined);
  }

  async top(count: number): Promise<Board> {
    try {
      const ranked = await this.#redis.zrevrange(`lb:${TAG}:events`, 0, count - 1, 'WITHSCORES');
      const ids = ranked.filter((_, index) => index % 2 === 0);
      const titles = await Promise.all(ids.map((id) => this.#redis.hget(`lb:${TAG}:content:${id}`, 'title')));
      const entries = ids.map((id, index) => ({ title: titles[index] ?? id, events: Number(ranked[index * 2 + 1]) }));
      return { entries, asOfMs: null };
    } catch {
      return EMPTY;
    }
  }

  close(): void {
    this.#redis.disconnect();
  }
}

/** The top five of the 10-minute board, read from Redis as an application would. */
import { leaderboardReader } from '../../pipelines/engagement/leaderboard-reader.ts';
import type { Board } from './state.ts';

const EMPTY: Board = { entries: [], asOfMs: null };
/** Shown once a second: an answer that takes longer is of no use. */
const TIMEOUT_MS = 1_000;

export class BoardReader {
  readonly #reader;
  #connected = false;

  constructor(url: string) {
    this.#reader = leaderboardReader({ url, commandTimeoutMs: TIMEOUT_MS });
  }

  /** The first places; none while Redis is away. */
  async top(count: number): Promise<Board> {
    try {
      if (!this.#connected) {
        await this.#reader.connect();
        this.#connected = true;
      }
      const { entries, asOf } = await this.#reader.top('10m', 'events', count);
      return {
        entries: entries.map(({ title, contentId, events }) => ({ title: title === '' ? contentId : title, events })),
        asOfMs: asOf?.streamTime ?? null,
      };
    } catch {
      return EMPTY;
    }
  }

  async close(): Promise<void> {
    await this.#reader.close().catch(() => undefined);
  }
}

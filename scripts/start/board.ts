/** The first places of a pipeline's board, whatever becomes of Redis meanwhile. */
import type { BoardSource, ShownPipeline } from './shown.ts';
import type { Board } from './state.ts';

export class BoardReader {
  readonly #title: string;
  readonly #source: BoardSource;
  #connected = false;

  constructor({ title, open }: ShownPipeline['board'], redisUrl: string) {
    this.#title = title;
    this.#source = open(redisUrl);
  }

  /** The first places; none while Redis is away. */
  async top(count: number): Promise<Board> {
    try {
      if (!this.#connected) {
        await this.#source.connect();
        this.#connected = true;
      }
      return { title: this.#title, ...(await this.#source.top(count)) };
    } catch {
      return { title: this.#title, entries: [], asOfMs: null };
    }
  }

  async close(): Promise<void> {
    await this.#source.close().catch(() => undefined);
  }
}

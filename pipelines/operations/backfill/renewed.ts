/** Something connected, thrown away at the first error and made anew at the next use: what a server's death did to it is not known. */
export class Renewed<T extends { close(): Promise<void> }> {
  readonly #open: () => T;
  #now: T | null = null;

  constructor(open: () => T) {
    this.#open = open;
  }

  /** Throws what `work` throws. */
  async use<R>(work: (it: T) => Promise<R>): Promise<R> {
    this.#now ??= this.#open();
    try {
      return await work(this.#now);
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const it = this.#now;
    this.#now = null;
    await it?.close().catch(() => undefined);
  }
}

/** A reader whose streams end when its task is told to stop: a long restore must not hold up a rebalance. */
import { SluiceError } from './errors.ts';
import type { LogReader, PartitionStream } from './log.ts';

export class StoppableReader implements LogReader {
  readonly #reader: LogReader;
  readonly #open = new Set<PartitionStream>();
  #stopped = false;

  /** The reader stays its owner's: closing this one closes only its streams. */
  constructor(reader: LogReader) {
    this.#reader = reader;
  }

  /** From now on every `next` throws STOPPED. */
  stop(): void {
    this.#stopped = true;
    for (const stream of this.#open) stream.wake();
  }

  open(topic: string, partition: number, from: bigint): PartitionStream {
    const stream = this.#reader.open(topic, partition, from);
    this.#open.add(stream);
    const next = async (waitMs: number) => {
      if (!this.#stopped) {
        const run = await stream.next(waitMs);
        if (!this.#stopped) return run;
      }
      throw new SluiceError(`Reading ${topic}-${partition} was stopped`, { code: 'STOPPED', action: 'reconnect' });
    };
    return {
      get highWatermark() {
        return stream.highWatermark;
      },
      get answered() {
        return stream.answered;
      },
      next,
      wake: () => stream.wake(),
      close: () => {
        this.#open.delete(stream);
        stream.close();
      },
    };
  }

  async close(): Promise<void> {
    for (const stream of this.#open) stream.close();
    this.#open.clear();
  }
}

/** Of some rows of a captured partition, which change is the newest: read forward once, and on from there. */
import { pause } from '../../../engine/backoff.ts';
import type { LogClient } from '../../../engine/log.ts';
import { readToEnd } from '../../../engine/restore.ts';
import type { TopicPartition } from '../../../engine/sink.ts';
import { changePosition, headerText, rowOfKey } from '../operator-record.ts';

/** How long a commit is waited for: what is not seen then is told as it was written. */
const MAX_LOOKS = 100;
const LOOK_MS = 20;

const overtakenBy = (runId: string, row: string): string => `${runId} ${row}`;

export class NewestChanges {
  readonly #client: LogClient;
  readonly #at: TopicPartition;
  readonly #signal: AbortSignal;
  /** By row; -1 before any was seen. */
  readonly #rows = new Map<string, bigint>();
  /** Rows by the run whose record came behind a change that it had not seen. */
  readonly #overtaken = new Set<string>();
  #next: bigint | null = null;

  constructor(client: LogClient, at: TopicPartition, signal: AbortSignal) {
    this.#client = client;
    this.#at = at;
    this.#signal = signal;
  }

  /** Watches a row from a position on. Call it before `advance`. */
  watch(row: string, from: bigint): void {
    this.#rows.set(row, -1n);
    if (this.#next === null || from < this.#next) this.#next = from;
  }

  /** Reads on to the partition's end, and returns it: everything in front of it is known now. */
  async advance(): Promise<bigint> {
    const { topic, partition } = this.#at;
    const end = (await this.#client.offsets(topic, [partition], 'lastStable')).get(partition) ?? 0n;
    const from = this.#next ?? end;
    if (from >= end) return from;
    const reader = this.#client.reader({ minBytes: 1, maxWaitMs: 100, maxBufferedBytes: 4 << 20 });
    try {
      await readToEnd(reader, { topic, partition, from, end }, ({ records }) => {
        this.#signal.throwIfAborted();
        for (const record of records) {
          if (record.key === null) continue;
          const row = rowOfKey(record.key);
          const before = this.#rows.get(row);
          const position = changePosition(record);
          if (before === undefined) continue;
          const run = headerText(record.headers, 'sluice.run');
          // As the stage will tell (operator-guard.ts).
          if (run !== null && before > position) this.#overtaken.add(overtakenBy(run, row));
          if (position > before) this.#rows.set(row, position);
        }
      });
    } finally {
      await reader.close();
    }
    this.#next = end;
    return end;
  }

  /** Reads on until a record of our own is among what was read, whose commit may not be seen yet. */
  async advanceTo(end: bigint): Promise<void> {
    for (let look = 0; (await this.advance()) < end; look++) {
      if (look === MAX_LOOKS) return;
      await pause(LOOK_MS, this.#signal);
    }
  }

  /** Whether the record that a run wrote of a row is one that the stage lets go, as far as was read. */
  isOvertaken(row: string, runId: string): boolean {
    return this.#overtaken.has(overtakenBy(runId, row));
  }

  /** Whether a row has changed behind a position, as far as was read. */
  changedBehind(row: string, position: bigint): boolean {
    return (this.#rows.get(row) ?? -1n) > position;
  }
}

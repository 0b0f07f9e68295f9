/** Reading the dead letters of a pipeline: what the commands that change nothing need. */
import type { SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import type { LogClient } from '../../../engine/log.ts';
import { type LetterFilter, matches } from './filter.ts';
import { dlqRecord, type Letter, type LetterState } from './letter.ts';
import { dlqRange, type ReadDlq, readDlq } from './read.ts';
import { type LetterStates, readStates } from './states.ts';

export interface Found {
  readonly letter: Letter;
  readonly state: LetterState;
}

export interface LetterCounts {
  readonly state: LetterState;
  readonly stage: string;
  readonly reason: string;
  letters: number;
  readonly oldestMs: number;
  newestMs: number;
}

/** The letters of one topic as they are when it is opened. */
export class DlqCatalogue {
  readonly #client: LogClient;
  readonly #schemas: SchemaSource;
  readonly #range: ReadDlq;
  readonly states: LetterStates;

  private constructor(client: LogClient, schemas: SchemaSource, range: ReadDlq, states: LetterStates) {
    this.#client = client;
    this.#schemas = schemas;
    this.#range = range;
    this.states = states;
  }

  /** Reads what became of each letter. */
  static async open(
    client: LogClient,
    {
      topic,
      schemas,
      signal,
    }: { readonly topic: string; readonly schemas: SchemaSource; readonly signal: AbortSignal },
  ): Promise<DlqCatalogue> {
    const range = await dlqRange(client, topic, signal);
    return new DlqCatalogue(client, schemas, range, await readStates(client, range));
  }

  /** Hands over the letters that match, oldest first, one at a time; their bytes are valid during the call only. */
  async each(filter: LetterFilter, found: (found: Found) => void | Promise<void>): Promise<void> {
    const asked = { filter, schemas: this.#schemas };
    await readDlq(this.#client, this.#range, async (records) => {
      for (const record of records) {
        const read = dlqRecord(record);
        if (read.kind !== 'letter') continue;
        const state = this.states.of(read.letter);
        if (await matches(read.letter, state, asked)) await found({ letter: read.letter, state });
      }
    });
  }

  /** The newest `limit` that match, newest first, without their bytes. */
  async newest(
    filter: LetterFilter,
    limit: number,
  ): Promise<{ readonly found: readonly Found[]; readonly all: number }> {
    const kept: Found[] = [];
    let all = 0;
    await this.each(filter, ({ letter, state }) => {
      all++;
      kept.push({ letter: { ...letter, key: letter.key && Buffer.from(letter.key), value: null }, state });
      // Now and then, so that the array is not moved for every letter.
      if (kept.length >= 2 * limit + 100) kept.splice(0, kept.length - limit);
    });
    return { found: kept.slice(Math.max(0, kept.length - limit)).reverse(), all };
  }

  /** How many there are of each state, stage and reason. */
  async counts(filter: LetterFilter): Promise<readonly LetterCounts[]> {
    const counts = new Map<string, LetterCounts>();
    await this.each(filter, ({ letter: { stage, reason, writtenMs }, state }) => {
      const name = `${state}\n${stage}\n${reason}`;
      const count = counts.get(name) ?? { state, stage, reason, letters: 0, oldestMs: writtenMs, newestMs: writtenMs };
      count.letters++;
      count.newestMs = writtenMs;
      counts.set(name, count);
    });
    return [...counts.values()].sort((a, b) => b.letters - a.letters);
  }
}

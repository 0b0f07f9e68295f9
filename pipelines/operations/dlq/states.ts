/** What became of each letter: one byte a letter, so that the memory of a long topic stays small. */
import type { LogClient } from '../../../engine/log.ts';
import { dlqRecord, type Letter, type LetterState, RESOLUTIONS, type Resolution } from './letter.ts';
import { type ReadDlq, readDlq } from './read.ts';

const PAGE = 65_536n;

/** The states of a topic's letters as of its end. What was said last counts. */
export class LetterStates {
  readonly #pages = new Map<bigint, Uint8Array>();

  set(letterId: bigint, resolution: Resolution): void {
    const number = letterId / PAGE;
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = new Uint8Array(Number(PAGE));
      this.#pages.set(number, page);
    }
    page[Number(letterId % PAGE)] = RESOLUTIONS.indexOf(resolution) + 1;
  }

  of({ id }: Pick<Letter, 'id'>): LetterState {
    const state = this.#pages.get(id / PAGE)?.[Number(id % PAGE)] ?? 0;
    return state === 0 ? 'open' : RESOLUTIONS[state - 1]!;
  }
}

/** Reads what became of the letters of the range. */
export async function readStates(client: LogClient, range: ReadDlq): Promise<LetterStates> {
  const states = new LetterStates();
  await readDlq(client, range, (records) => {
    for (const record of records) {
      const read = dlqRecord(record);
      // Never of a letter behind it: nobody can have seen that one.
      if (read.kind === 'resolution' && read.letterId < record.offset) states.set(read.letterId, read.resolution);
    }
  });
  return states;
}

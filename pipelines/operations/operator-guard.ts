/** Tells of operator records whether their rows have changed since: by reading the partition between the two once more. */
import { SluiceError } from '../../engine/errors.ts';
import type { LogClient, LogReader, LogRecord } from '../../engine/log.ts';
import { readToEnd } from '../../engine/restore.ts';
import { changePosition, type OperatorRecord, operatorRecord, rowOfKey } from './operator-record.ts';

/** `unknown`: so much was written since that looking through it would hold up the live records. */
export type OperatorVerdict = 'newest' | 'superseded' | 'unknown';

/** More records than this between what an operator record has seen and itself are not looked through. */
const MAX_BEHIND = 100_000n;

interface Asked {
  readonly offset: bigint;
  readonly scannedTo: bigint;
}

export class OperatorGuard {
  readonly #client: Pick<LogClient, 'offsets'>;
  readonly #reader: LogReader;
  readonly #topic: string;
  readonly #maxBehind: bigint;
  /** Of the operator records of each partition's present batch. */
  readonly #verdicts = new Map<number, ReadonlyMap<bigint, OperatorVerdict>>();

  constructor(options: {
    readonly client: Pick<LogClient, 'offsets'>;
    readonly reader: LogReader;
    readonly topic: string;
    readonly maxBehind?: bigint;
  }) {
    this.#client = options.client;
    this.#reader = options.reader;
    this.#topic = options.topic;
    this.#maxBehind = options.maxBehind ?? MAX_BEHIND;
  }

  /** Before a batch is processed. Costs nothing while it holds no operator record. */
  async prepare(records: readonly LogRecord[], partition: number): Promise<void> {
    this.#verdicts.delete(partition);
    const asked = records.flatMap((record) => askedBy(record));
    if (asked.length === 0) return;
    const earliest = (await this.#client.offsets(this.#topic, [partition], 'earliest')).get(partition) ?? 0n;
    const verdicts = new Map<bigint, OperatorVerdict>();
    const known = asked.filter(({ offset, scannedTo }) => {
      const readable = scannedTo >= earliest && offset - scannedTo <= this.#maxBehind;
      if (!readable) verdicts.set(offset, 'unknown');
      return readable;
    });
    if (known.length > 0) await this.#look(known, partition, verdicts);
    this.#verdicts.set(partition, verdicts);
  }

  /** Of an operator record of the batch that was prepared last. */
  verdict(partition: number, offset: bigint): OperatorVerdict {
    const verdict = this.#verdicts.get(partition)?.get(offset);
    if (verdict !== undefined) return verdict;
    throw new SluiceError(`The operator record ${this.#topic}-${partition}@${offset} was not prepared`, {
      code: 'OPERATOR_RECORD_NOT_PREPARED',
      action: 'fatal',
    });
  }

  async #look(asked: readonly Asked[], partition: number, verdicts: Map<bigint, OperatorVerdict>): Promise<void> {
    const own = new Set(asked.map(({ offset }) => offset));
    const from = asked.map(({ scannedTo }) => scannedTo).sort((a, b) => (a < b ? -1 : 1))[0]!;
    const range = { topic: this.#topic, partition, from, end: asked.at(-1)!.offset + 1n };
    /** Of each row, the newest of its changes so far. */
    const newest = new Map<string, bigint>();
    await readToEnd(this.#reader, range, ({ records }) => {
      for (const record of records) {
        if (record.key === null) continue;
        const row = rowOfKey(record.key);
        const position = changePosition(record);
        const before = newest.get(row) ?? -1n;
        if (own.has(record.offset)) verdicts.set(record.offset, before > position ? 'superseded' : 'newest');
        if (position > before) newest.set(row, position);
      }
    });
  }
}

/**
 * Whether the row of an operator record has changed since the command looked: then the record changes nothing. Throws STALE_OPERATOR_RECORD
 * (dead-letter) when that cannot be told.
 */
export function isSuperseded(
  guard: Pick<OperatorGuard, 'verdict'>,
  partition: number,
  { offset }: LogRecord,
  { scannedTo, origin }: OperatorRecord,
): boolean {
  const verdict = guard.verdict(partition, offset);
  if (verdict !== 'unknown') return verdict === 'superseded';
  throw new SluiceError(
    `Too much was written between offset ${scannedTo}, to which the ${origin} had looked, and this record: its row may have changed`,
    { code: 'STALE_OPERATOR_RECORD', action: 'dead-letter' },
  );
}

/** A record that is no proper operator record is told so when it is processed. */
function askedBy(record: LogRecord): Asked[] {
  try {
    const operator = operatorRecord(record);
    return operator === null ? [] : [{ offset: record.offset, scannedTo: operator.scannedTo }];
  } catch (error) {
    if (error instanceof SluiceError && error.action === 'dead-letter') return [];
    throw error;
  }
}

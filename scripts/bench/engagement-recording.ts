/** A recorded history: the sample traffic as the changes that Debezium would have captured, without a database. */
import { Traffic, type TrafficBatch } from '../../pipelines/engagement/traffic/traffic.ts';
import type { Images, RecordedRow } from './engagement-envelope.ts';
import type { Op, Source } from './envelope.ts';

export interface RecordingOptions {
  /** Changes at least; the last transaction is whole. */
  readonly records: number;
  readonly contents: number;
  readonly seed: number;
  /** Commit time of the last transaction, about. */
  readonly endMs: number;
}

export interface RecordedChange extends Images {
  readonly op: Op;
  readonly source: Source;
}

export interface RecordedTransaction {
  readonly source: Source;
  readonly changes: readonly RecordedChange[];
}

/** As `npm run generate` writes at 10,000 events a second. */
const EVENTS_PER_TRANSACTION = 500;
const MS_PER_TRANSACTION = 50;
const UPDATES_PERCENT = 8;
const DELETES_PERCENT = 2;
const LATE_PERCENT = 3;
const FIRST_LSN = 0x1_6000_0000n;
const FIRST_XID = 1_000_000;
/** Bytes of WAL between two changes. */
const LSN_STEP = 176n;

/** A new recording begins with its contents, which are there before the first transaction. */
export class Recording {
  readonly traffic: Traffic;
  readonly startMs: number;
  readonly #options: RecordingOptions;
  readonly #rows = new Map<bigint, RecordedRow>();
  #lsn = FIRST_LSN;
  #xid = FIRST_XID;
  #nextId = 1n;

  constructor(options: RecordingOptions) {
    this.#options = options;
    const perTransaction = EVENTS_PER_TRANSACTION * (1 + (UPDATES_PERCENT + DELETES_PERCENT) / 100);
    const transactions = Math.ceil(options.records / perTransaction);
    this.startMs = Math.floor(options.endMs) - transactions * MS_PER_TRANSACTION;
    this.traffic = new Traffic(
      {
        seed: options.seed,
        contents: options.contents,
        updates: UPDATES_PERCENT,
        deletes: DELETES_PERCENT,
        late: LATE_PERCENT,
        contentEditsPerMinute: 0,
      },
      this.startMs * 1_000,
    );
  }

  /** The source of the transaction that added the contents. */
  get contentSource(): Source {
    return { lsn: FIRST_LSN - 1n, commitLsn: FIRST_LSN - 1n, xid: FIRST_XID - 1, commitMs: this.startMs };
  }

  *transactions(): Generator<RecordedTransaction> {
    let made = 0;
    for (let number = 1; made < this.#options.records; number += 1) {
      const commitMs = this.startMs + number * MS_PER_TRANSACTION;
      const ids = BigInt64Array.from({ length: EVENTS_PER_TRANSACTION }, (_, at) => this.#nextId + BigInt(at));
      this.#nextId += BigInt(EVENTS_PER_TRANSACTION);
      const transaction = this.#transaction(this.traffic.next(ids, commitMs * 1_000), commitMs);
      made += transaction.changes.length;
      yield transaction;
    }
  }

  #transaction(batch: TrafficBatch, commitMs: number): RecordedTransaction {
    const first = this.#lsn;
    this.#xid += 1;
    const changes: RecordedChange[] = [];
    const add = (op: Op, before: RecordedRow | null, after: RecordedRow | null): void => {
      const source = { lsn: this.#lsn, commitLsn: first, xid: this.#xid, commitMs };
      changes.push({ op, before, after, source });
    };
    for (let at = 0; at < batch.inserts.count; at += 1) {
      this.#lsn += LSN_STEP;
      const row = insertedRow(batch, at);
      this.#rows.set(batch.inserts.ids[at]!, row);
      add('c', null, row);
    }
    for (const [id, change] of batch.updates) {
      this.#lsn += LSN_STEP;
      const before = this.#rows.get(id);
      if (before === undefined) continue;
      const after = updatedRow(before, change);
      this.#rows.set(id, after);
      if (after.content === before.content) {
        add('u', before, after);
      } else {
        // Another key: Debezium tells it as a delete and a create at the same position.
        add('d', before, null);
        add('c', null, after);
      }
    }
    for (const id of batch.deletes) {
      this.#lsn += LSN_STEP;
      const before = this.#rows.get(id);
      if (before === undefined) continue;
      this.#rows.delete(id);
      add('d', before, null);
    }
    return { source: { lsn: this.#lsn, commitLsn: first, xid: this.#xid, commitMs }, changes };
  }
}

function insertedRow({ inserts }: TrafficBatch, at: number): RecordedRow {
  return {
    id: Number(inserts.ids[at]),
    content: inserts.content[at]!,
    user: inserts.user[at]!,
    type: inserts.type[at]!,
    eventMicros: inserts.eventMicros[at]!,
    durationMs: inserts.durationMs[at]!,
    device: inserts.device[at]!,
    payload: inserts.payload[at]!,
  };
}

type Update = TrafficBatch['updates'] extends ReadonlyMap<bigint, infer U> ? U : never;

function updatedRow(row: RecordedRow, change: Update): RecordedRow {
  return {
    ...row,
    content: change.content ?? row.content,
    eventMicros: change.eventMicros ?? row.eventMicros,
    durationMs: change.durationMs === undefined ? row.durationMs : (change.durationMs ?? -1),
  };
}

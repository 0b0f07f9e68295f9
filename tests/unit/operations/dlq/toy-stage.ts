/**
 * A stage small enough to be obviously right, on a log in memory: it keeps the newest change of each row, puts aside what it cannot take
 * yet, and asks the guard about what commands wrote. Beside it stands what the capture said, in plain form.
 */
import { appendDeadLetter } from '../../../../engine/dead-letter.ts';
import { SluiceError } from '../../../../engine/errors.ts';
import { DlqCatalogue } from '../../../../pipelines/operations/dlq/catalogue.ts';
import { ANY_LETTER, type LetterFilter } from '../../../../pipelines/operations/dlq/filter.ts';
import type { Letter } from '../../../../pipelines/operations/dlq/letter.ts';
import type { DlqPipeline } from '../../../../pipelines/operations/dlq/pipeline.ts';
import { discard, operatorWriter, type RedriveCounts, redrive } from '../../../../pipelines/operations/dlq/redrive.ts';
import { type Selection, select } from '../../../../pipelines/operations/dlq/selection.ts';
import { OperatorGuard } from '../../../../pipelines/operations/operator-guard.ts';
import { operatorRecord } from '../../../../pipelines/operations/operator-record.ts';
import { MemoryLog } from '../../../support/memory-log.ts';

export const TOPIC = 'captured';
export const DLQ = 'toy.dlq';
const noSink = () => {
  throw new Error('the sink is given to redrive');
};
export const PIPELINE: DlqPipeline = {
  name: 'toy',
  topic: DLQ,
  reasons: {},
  captured: [TOPIC],
  sinks: { 'toy.sink': noSink },
};
const schemas = { schemaById: async () => null };

/** A change of a row, as captured: `cause` names what must be mended before it can be taken; null: nothing. */
export interface Captured {
  readonly row: string;
  readonly sequence: number;
  readonly cause: string | null;
}

export interface RedriveRun extends RedriveCounts {
  readonly selection: Selection;
}

export class ToyStage {
  readonly log = new MemoryLog();
  readonly captured: Captured[] = [];
  readonly mended = new Set<string>();
  /** Of each row, the sequence numbers of the changes taken, in the order they were taken. */
  readonly taken = new Map<string, number[]>();
  readonly #guard = new OperatorGuard({ client: this.log, reader: this.log.reader(), topic: TOPIC });
  /** Sources of the letters that the sink was given; set `sinkTakes` to let it refuse. */
  readonly sunk: bigint[] = [];
  sinkTakes = (letter: Letter): void => {
    this.sunk.push(letter.offset);
  };
  #position = 0n;

  capture(row: string, cause: string | null): void {
    const change = { row, sequence: this.captured.length, cause };
    this.captured.push(change);
    this.log.append(TOPIC, 0, { key: Buffer.from(row), value: Buffer.from(JSON.stringify(change)) });
  }

  async process(count = Number.POSITIVE_INFINITY): Promise<void> {
    const records = this.log
      .records(TOPIC, 0)
      .filter(({ offset }) => offset >= this.#position)
      .slice(0, count);
    if (records.length === 0) return;
    await this.#guard.prepare(records, 0);
    const writer = this.log.writer('toy');
    await writer.fence();
    const letters = writer.batch(DLQ, 0);
    for (const record of records) {
      try {
        const operator = operatorRecord(record);
        if (operator !== null && this.#guard.verdict(0, record.offset) === 'superseded') continue;
        const { row, sequence, cause } = JSON.parse(record.value!.toString()) as Captured;
        if (cause !== null && !this.mended.has(cause))
          throw new SluiceError(cause, { code: 'BAD', action: 'dead-letter' });
        this.taken.set(row, [...(this.taken.get(row) ?? []), sequence]);
      } catch (error) {
        if (!(error instanceof SluiceError && error.action === 'dead-letter')) throw error;
        const at = { reason: error.code, message: error.message, stage: 'toy', topic: TOPIC, partition: 0 };
        appendDeadLetter(letters, record, at);
      }
    }
    const fault = this.log.fault;
    this.log.fault = () => null;
    await writer.commit([letters], null);
    this.log.fault = fault;
    this.#position = records.at(-1)!.offset + 1n;
  }

  /** A letter of the sink, whose input is another topic. */
  async putAside(offset: bigint): Promise<void> {
    const writer = this.log.writer('toy.sink-dlq');
    await writer.fence();
    const batch = writer.batch(DLQ, 0);
    const record = { offset, timestampMs: 0, key: null, value: Buffer.from('change'), headers: [] };
    const at = { reason: 'SINK_REFUSED', message: '', stage: 'toy.sink', topic: 'changes', partition: 0 };
    appendDeadLetter(batch, record, at);
    await writer.commit([batch], null);
  }

  async redrive(
    options: Partial<{ filter: LetterFilter; limit: number; maxAttempts: number }> = {},
  ): Promise<RedriveRun> {
    const { filter = ANY_LETTER, limit = 1_000, maxAttempts = 100 } = options;
    const { signal } = new AbortController();
    const writer = operatorWriter(this.log, PIPELINE);
    await writer.fence();
    const catalogue = await this.catalogue();
    const selection = await select(catalogue, {
      client: this.log,
      pipeline: PIPELINE,
      filter,
      limit,
      maxAttempts,
      signal,
    });
    const parts = { client: this.log, pipeline: PIPELINE, catalogue, selection, writer, signal };
    // Two a chunk, without waiting.
    const counts = await redrive({
      ...parts,
      runId: 'run',
      rate: Number.MAX_SAFE_INTEGER,
      maxChunk: 2,
      progress: () => {},
      sink: () => ({ write: async (letter) => this.sinkTakes(letter), close: async () => {} }),
    });
    return { ...counts, selection };
  }

  async discard(ids: readonly bigint[]): Promise<number> {
    const writer = operatorWriter(this.log, PIPELINE);
    await writer.fence();
    const { signal } = new AbortController();
    const parts = { pipeline: PIPELINE, catalogue: await this.catalogue(), ids: new Set(ids), writer, runId: 'run' };
    return await discard({ ...parts, signal, progress: () => {} });
  }

  async catalogue(): Promise<DlqCatalogue> {
    return await DlqCatalogue.open(this.log, { topic: DLQ, schemas, signal: new AbortController().signal });
  }

  async open(): Promise<number> {
    const { all } = await (await this.catalogue()).newest({ ...ANY_LETTER, state: 'open' }, 1);
    return all;
  }
}

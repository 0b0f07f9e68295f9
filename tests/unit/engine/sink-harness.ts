/** Runs sink tasks on a log in memory, with crashes where a test wants them. */
import { expect } from 'vitest';
import { SluiceError } from '../../../engine/errors.ts';
import type { LogRecord, Membership } from '../../../engine/log.ts';
import { type SinkDefinition, type SinkStep, SinkTask } from '../../../engine/sink-task.ts';
import { type Fault, MemoryLog } from '../../support/memory-log.ts';
import { type Accident, IMPOSSIBLE, REFUSED, type Row, type TestTarget } from './sink-targets.ts';

/** Cannot be decoded. */
export const BAD = 'bad';
const NO_METRICS = { records() {}, deadLetters() {}, transaction() {} };

/** One record of the input; `null` is a tombstone. */
type Input = readonly [key: string, value: string | null];

/** Transactions of the input's producer; aborted ones leave gaps and markers. */
export interface Written {
  readonly records: readonly Input[];
  readonly outcome: 'committed' | 'aborted';
}

export async function fill(log: MemoryLog, transactions: readonly Written[]): Promise<LogRecord[]> {
  for (const [index, { records, outcome }] of transactions.entries()) {
    const writer = log.writer('producer');
    await writer.fence();
    const batch = writer.batch('in', 0);
    for (const [key, value] of records)
      batch.append(Buffer.from(key), value === null ? null : Buffer.from(value), 1_000);
    log.fault = () => (outcome === 'aborted' ? 'after-produce' : null);
    const offsets = { group: 'producer', topic: 'none', partition: 0, offset: BigInt(index), metadata: '' };
    await writer.commit([batch], offsets).catch(() => {});
  }
  await log.writer('producer').fence();
  log.fault = () => null;
  return log.records('in', 0);
}

function definitionOf(sink: TestTarget, maxRecords: number): SinkDefinition<string> {
  const prepared = new Set<bigint>();
  const values = new WeakMap<Buffer, bigint>();
  return {
    name: 'sink',
    input: 'in',
    dlq: 'dlq',
    sink,
    prepare: async (records) => {
      for (const { value, offset } of records) {
        if (value !== null) values.set(value, offset);
        prepared.add(offset);
      }
    },
    decode: (value) => {
      if (!prepared.has(values.get(value) ?? -1n)) {
        throw new SluiceError('not prepared', { code: 'SCHEMA_NOT_PREPARED', action: 'fatal' });
      }
      if (value.toString() === BAD)
        throw new SluiceError('cannot be read', { code: 'UNDECODABLE', action: 'dead-letter' });
      return value.toString();
    },
    streamTimeMs: () => 5_000,
    generation: 1,
    maxRecords,
  };
}

export type Trouble = SinkStep | Fault | Exclude<Accident, null>;

/** Strikes when its turn has come and its place is passed `after` times. */
interface Crash {
  readonly at: Trouble;
  readonly after: number;
}

function crashPlan(crashes: readonly Crash[]): (at: Trouble) => boolean {
  const left = [...crashes];
  return (at) => {
    const next = left[0];
    if (next === undefined || next.at !== at) return false;
    if (next.after > 0) {
      left[0] = { ...next, after: next.after - 1 };
      return false;
    }
    left.shift();
    return true;
  };
}

/** Runs tasks, each as a fresh process would, until target and offset have passed `end`. */
export async function runThrough(
  log: MemoryLog,
  target: TestTarget,
  options: { readonly crashes: readonly Crash[]; readonly end: bigint; readonly maxRecords: number },
): Promise<number> {
  const take = crashPlan(options.crashes);
  log.fault = () => (['before-produce', 'after-produce', 'unknown'] as const).find((fault) => take(fault)) ?? null;
  target.accident = () => (['before', 'half', 'after', 'lose'] as const).find((one) => take(one)) ?? null;
  const done = async () => {
    // Where the target keeps the position, Kafka's offset may stay behind until the next record.
    const counts = target.delivery === 'pending-range';
    if (counts && ((await log.committed('sink', 'in', 0))?.offset ?? 0n) < options.end) return false;
    return target.reached >= options.end;
  };
  for (let starts = 1; ; starts++) {
    expect(starts).toBeLessThan(200);
    let task: SinkTask<string> | null = null;
    const stopWhenDone = async () => {
      if (await done()) task?.stop();
    };
    const group = log.membership('sink');
    const membership: Membership = {
      ...group,
      commit: async (...commit) => {
        await group.commit(...commit);
        await stopWhenDone();
      },
    };
    task = new SinkTask({
      definition: definitionOf(target, options.maxRecords),
      assignment: { generation: log.generation, partitions: [0] },
      partition: 0,
      client: log,
      membership,
      input: log.reader(),
      restore: log.reader(),
      metrics: { ...NO_METRICS, deadLetters: () => void stopWhenDone() },
      probe: (step) => {
        if (take(step)) throw new SluiceError('crash', { code: 'CRASH', action: 'reconnect' });
      },
    });
    try {
      await stopWhenDone();
      await task.run();
      return starts;
    } catch (error) {
      if (!(error instanceof SluiceError) || error.action === 'fatal') throw error;
    }
  }
}

const header = ({ headers }: LogRecord, name: string) => {
  return Buffer.from(headers.find(({ key }) => key === name)!.value).toString();
};

/** The letters in the DLQ as `offset reason`, by offset. */
export function letters(log: MemoryLog): string[] {
  const found = log.records('dlq', 0).map((letter) => {
    return { offset: Number(header(letter, 'sluice.offset')), reason: header(letter, 'sluice.reason') };
  });
  return found.sort((a, b) => a.offset - b.offset).map(({ offset, reason }) => `${offset} ${reason}`);
}

/** The letters that a history must leave. */
export const faults = (records: readonly LogRecord[]) =>
  records.flatMap(({ offset, value }) => {
    if (value?.toString() === BAD) return [`${offset} UNDECODABLE`];
    if (value?.toString() === IMPOSSIBLE) return [`${offset} SINK_REFUSED`];
    return value?.toString() === REFUSED ? [`${offset} SINK_REFUSED`] : [];
  });

/** The rows that a history must leave in a target that appends. */
export const soundRows = (records: readonly LogRecord[]): Row[] =>
  records
    .filter(({ value }) => ![BAD, REFUSED, IMPOSSIBLE].includes(value?.toString() ?? ''))
    .map(({ offset, key, value }) => ({ offset, key: key!.toString(), value: value?.toString() ?? null }));

export const endOf = (records: readonly LogRecord[]) => records.at(-1)!.offset + 1n;

export async function filled(...values: readonly string[]): Promise<{ log: MemoryLog; records: LogRecord[] }> {
  const log = new MemoryLog();
  const records = await fill(log, [{ records: values.map((value) => ['k', value] as const), outcome: 'committed' }]);
  return { log, records };
}

/** A task of the log's present generation, with no crashes. */
export function taskOn(log: MemoryLog, target: TestTarget, max = 100): SinkTask<string> {
  return new SinkTask({
    definition: definitionOf(target, max),
    assignment: { generation: log.generation, partitions: [0] },
    partition: 0,
    client: log,
    membership: log.membership('sink'),
    input: log.reader(),
    restore: log.reader(),
    metrics: NO_METRICS,
  });
}

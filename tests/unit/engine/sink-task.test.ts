import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SluiceError } from '../../../engine/errors.ts';
import type { LogRecord, Membership } from '../../../engine/log.ts';
import { type SinkDefinition, type SinkStep, SinkTask } from '../../../engine/sink-task.ts';
import { type Fault, MemoryLog } from '../../support/memory-log.ts';
import {
  type Accident,
  BoardTarget,
  OffsetTarget,
  RangeTarget,
  REFUSED,
  type Row,
  STAMP,
  type TestTarget,
} from './sink-targets.ts';

const SEED = 11;
const BAD = 'bad';
const NO_METRICS = { records() {}, deadLetters() {}, transaction() {} };

/** One record of the input; `null` is a tombstone. */
type Input = readonly [key: string, value: string | null];

/** Transactions of the input's producer; aborted ones leave gaps and markers. */
interface Written {
  readonly records: readonly Input[];
  readonly outcome: 'committed' | 'aborted';
}

async function fill(log: MemoryLog, transactions: readonly Written[]): Promise<LogRecord[]> {
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

type Trouble = SinkStep | Fault | Exclude<Accident, null>;

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
async function runThrough(
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
function letters(log: MemoryLog): string[] {
  const found = log.records('dlq', 0).map((letter) => {
    return { offset: Number(header(letter, 'sluice.offset')), reason: header(letter, 'sluice.reason') };
  });
  return found.sort((a, b) => a.offset - b.offset).map(({ offset, reason }) => `${offset} ${reason}`);
}

/** The letters that a history must leave. */
const faults = (records: readonly LogRecord[]) =>
  records.flatMap(({ offset, value }) => {
    if (value?.toString() === BAD) return [`${offset} UNDECODABLE`];
    return value?.toString() === REFUSED ? [`${offset} ROW_REFUSED`] : [];
  });

/** The rows that a history must leave in a target that appends. */
const soundRows = (records: readonly LogRecord[]): Row[] =>
  records
    .filter(({ value }) => value?.toString() !== BAD && value?.toString() !== REFUSED)
    .map(({ offset, key, value }) => ({ offset, key: key!.toString(), value: value?.toString() ?? null }));

const endOf = (records: readonly LogRecord[]) => records.at(-1)!.offset + 1n;

const keys = fc.constantFrom('a', 'b', 'c', 'd');
const sound = fc.constantFrom<string | null>('1', '2', '3', null);

function historyOf(values: fc.Arbitrary<string | null>): fc.Arbitrary<Written[]> {
  const records = fc.array(fc.tuple(keys, values), { minLength: 1, maxLength: 12 });
  const transaction = fc.record({
    records,
    outcome: fc.constantFrom<Written['outcome']>('committed', 'committed', 'aborted'),
  });
  const last: Written = { records: [['z', `${STAMP} end`]], outcome: 'committed' };
  return fc.array(transaction, { maxLength: 6 }).map((transactions) => [...transactions, last]);
}

const crashesOf = (...places: readonly Trouble[]) =>
  fc.array(fc.record({ at: fc.constantFrom(...places), after: fc.integer({ min: 0, max: 3 }) }), { maxLength: 8 });

const STEPS: readonly SinkStep[] = ['positioned', 'gathered', 'announced', 'written', 'committed'];
const LETTER_FAULTS: readonly Fault[] = ['before-produce', 'after-produce', 'unknown'];
const maxRecords = fc.integer({ min: 1, max: 9 });
const maxRun = fc.integer({ min: 1, max: 20 });

describe('a sink task, crashed at any step', () => {
  it('gives a `pending-range` target every row once, and exactly an announced range again', async () => {
    await fc.assert(
      fc.asyncProperty(
        historyOf(fc.oneof({ weight: 5, arbitrary: sound }, fc.constant(BAD), fc.constant(REFUSED))),
        crashesOf(...STEPS, ...LETTER_FAULTS, 'before', 'half', 'after'),
        maxRecords,
        maxRun,
        async (history, crashes, max, run) => {
          const log = new MemoryLog();
          const records = await fill(log, history);
          log.maxRun = run;
          const target = new RangeTarget();
          await runThrough(log, target, { crashes, end: endOf(records), maxRecords: max });
          expect(target.violations).toEqual([]);
          expect(target.rows).toEqual(soundRows(records));
          expect(letters(log)).toEqual(faults(records));
        },
      ),
      { seed: SEED, numRuns: 200 },
    );
  });

  it('gives a target with its own offset every row once', async () => {
    await fc.assert(
      fc.asyncProperty(
        historyOf(fc.oneof({ weight: 5, arbitrary: sound }, fc.constant(BAD), fc.constant(REFUSED))),
        crashesOf('positioned', 'gathered', 'written', 'committed', ...LETTER_FAULTS, 'before', 'after'),
        maxRecords,
        maxRun,
        async (history, crashes, max, run) => {
          const log = new MemoryLog();
          const records = await fill(log, history);
          log.maxRun = run;
          const target = new OffsetTarget();
          await runThrough(log, target, { crashes, end: endOf(records), maxRecords: max });
          expect(target.violations).toEqual([]);
          expect(target.rows).toEqual(soundRows(records));
          expect(letters(log)).toEqual(faults(records));
        },
      ),
      { seed: SEED, numRuns: 200 },
    );
  });

  it('keeps a board exact that loses its data, half-writes batches, and stops at stamps', async () => {
    await fc.assert(
      fc.asyncProperty(
        historyOf(fc.oneof({ weight: 5, arbitrary: sound }, fc.constant(BAD), fc.constant(`${STAMP} x`))),
        crashesOf(
          'positioned',
          'gathered',
          'written',
          'committed',
          ...LETTER_FAULTS,
          'before',
          'half',
          'after',
          'lose',
        ),
        maxRecords,
        maxRun,
        async (history, crashes, max, run) => {
          const log = new MemoryLog();
          const records = await fill(log, history);
          log.maxRun = run;
          const target = new BoardTarget();
          await runThrough(log, target, { crashes, end: endOf(records), maxRecords: max });
          const board = new Map<string, string>();
          for (const { key, value } of soundRows(records)) {
            if (value === null) board.delete(key);
            else board.set(key, value);
          }
          expect(target.violations).toEqual([]);
          expect(target.board).toEqual(board);
          expect(letters(log)).toEqual(faults(records));
        },
      ),
      { seed: SEED, numRuns: 200 },
    );
  });
});

async function filled(...values: readonly string[]): Promise<{ log: MemoryLog; records: LogRecord[] }> {
  const log = new MemoryLog();
  const records = await fill(log, [{ records: values.map((value) => ['k', value] as const), outcome: 'committed' }]);
  return { log, records };
}

/** A task of the log's present generation, with no crashes. */
function taskOn(log: MemoryLog, target: TestTarget, max = 100): SinkTask<string> {
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

describe('a sink task', () => {
  it('writes letters with where and why, and the bytes as they were', async () => {
    const { log, records } = await filled('1', BAD, REFUSED, '2');
    await runThrough(log, new RangeTarget(), { crashes: [], end: endOf(records), maxRecords: 100 });
    const [bad, refused] = log.records('dlq', 0);
    expect(bad!.value!.toString()).toBe(BAD);
    expect(bad!.key!.toString()).toBe('k');
    const named = Object.fromEntries(refused!.headers.map(({ key, value }) => [key, Buffer.from(value).toString()]));
    expect(named).toMatchObject({
      'sluice.reason': 'ROW_REFUSED',
      'sluice.message': 'a row is refused',
      'sluice.stage': 'sink',
      'sluice.topic': 'in',
      'sluice.partition': '0',
      'sluice.offset': '2',
      'sluice.attempts': '1',
    });
  });

  it('announces a range before it writes it, and clears it behind', async () => {
    const { log, records } = await filled('1', '2');
    const target = new RangeTarget();
    const seen: string[] = [];
    target.accident = () => {
      void log.committed('sink', 'in', 0).then((committed) => seen.push(`${committed!.offset} ${committed!.metadata}`));
      return null;
    };
    const task = taskOn(log, target);
    const running = task.run();
    await expect.poll(async () => (await log.committed('sink', 'in', 0))?.metadata).toBe('');
    task.stop();
    await running;
    expect(JSON.parse(seen[0]!.slice(2))).toEqual({ to: String(endOf(records) + 1n), generation: 1 });
    expect((await log.committed('sink', 'in', 0))!.offset).toBe(endOf(records) + 1n);
  });

  it('takes a stale batch for done and goes on', async () => {
    const { log } = await filled(`${STAMP} 1`, `${STAMP} 2`, `${STAMP} 3`);
    class Ahead extends BoardTarget {
      override async position() {
        return { kind: 'offset', offset: 0n } as const;
      }
      override async write() {
        return 'stale' as const;
      }
    }
    const task = taskOn(log, new Ahead(), 2);
    const running = task.run();
    await expect.poll(async () => (await log.committed('sink', 'in', 0))?.offset).toBe(4n);
    task.stop();
    await running;
  });

  it('writes all that is gathered up to the last stamp without waiting for more records', async () => {
    const values = Array.from({ length: 50 }, (_, i) => (i % 5 === 4 ? `${STAMP} ${i}` : String(i)));
    const { log } = await filled(...values, 'tail');
    const target = new BoardTarget();
    target.rebuild = async () => {};
    target.position = async () => ({ kind: 'offset', offset: 0n });
    const wrote: bigint[] = [];
    target.write = async ({ to }) => {
      wrote.push(to);
      return 'written';
    };
    const task = taskOn(log, target, 12);
    const running = task.run();
    await expect.poll(() => wrote.at(-1)).toBe(50n);
    task.stop();
    await running;
    expect(wrote).toEqual([10n, 20n, 30n, 40n, 50n]);
  });

  it('changes nothing as a zombie: neither the target, nor the offset, nor the DLQ', async () => {
    const { log, records } = await filled('1', BAD, '2');
    const target = new RangeTarget();
    const zombie = taskOn(log, target);
    log.generation++;
    await expect(zombie.run()).rejects.toMatchObject({ code: 'KAFKA_ILLEGAL_GENERATION' });
    expect(target.rows).toEqual([]);
    expect(letters(log)).toEqual([]);
    await runThrough(log, target, { crashes: [], end: endOf(records), maxRecords: 100 });
    expect(letters(log)).toEqual(['1 UNDECODABLE']);
  });

  it('writes no letter as a zombie that was stopped between its write and its letters', async () => {
    const { log, records } = await filled('1', BAD, '2');
    const target = new RangeTarget();
    const paused = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    const asleep = new RangeTarget();
    asleep.write = async (batch) => {
      const outcome = await target.write(batch);
      reached.resolve();
      await paused.promise;
      return outcome;
    };
    const zombie = taskOn(log, asleep).run();
    await reached.promise;
    log.generation++;
    await runThrough(log, target, { crashes: [], end: endOf(records), maxRecords: 100 });
    paused.resolve();
    await expect(zombie).rejects.toMatchObject({ code: 'KAFKA_INVALID_PRODUCER_EPOCH' });
    expect(letters(log)).toEqual(['1 UNDECODABLE']);
    expect(target.violations).toEqual([]);
    expect(target.rows.map(({ value }) => value)).toEqual(['1', '2']);
  });

  it('stops for good when the target asks for a rebuild that it cannot do', async () => {
    const { log } = await filled('1');
    class Helpless extends OffsetTarget {
      override async position() {
        return { kind: 'rebuild' } as never;
      }
    }
    await expect(taskOn(log, new Helpless()).run()).rejects.toMatchObject({ code: 'NO_REBUILD', action: 'fatal' });
  });

  it('knows its lag and its stream time', async () => {
    const { log } = await filled('1', '2');
    const task = taskOn(log, new RangeTarget());
    expect(task.progressAt).toBe(0);
    const running = task.run();
    await expect.poll(() => task.streamTimeMs).toBe(5_000);
    expect(task.progressAt).toBeGreaterThan(0);
    expect(task.lag).toBe(0n);
    task.stop();
    await running;
  });
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SluiceError } from '../../../engine/errors.ts';
import type { LogRecord, OutputBatch, TransactionalWriter } from '../../../engine/log.ts';
import type { CheckpointedStage, ViewStage } from '../../../engine/stage.ts';
import { StageTask, type TaskStep } from '../../../engine/stage-task.ts';
import { type Fault, MemoryLog } from '../../support/memory-log.ts';

const SEED = 7;
let aborts = 0;
const metrics = { records() {}, deadLetters() {}, transaction() {}, aborted: () => void aborts++ };

/** Keeps the newest value per key and emits the change of the sum: a lost or repeated record shows at once. */
const viewStage: ViewStage = {
  kind: 'view',
  name: 'sum',
  input: 'in',
  outputs: ['deltas', 'latest'],
  view: 'latest',
  dlq: 'dlq',
  open: ({ store, emit }) => ({
    process({ key, value, offset }: LogRecord) {
      const now = Number(value);
      if (Number.isNaN(now)) throw new SluiceError('not a number', { code: 'NOT_A_NUMBER', action: 'dead-letter' });
      const before = Number(store.get(key!) ?? 0);
      emit('deltas', key, Buffer.from(`${offset}:${now - before}`), 0);
      store.put(key!, value, 0);
    },
    streamTimeMs: () => 0,
  }),
};

/** The same sums from a checkpointed store, with every running total emitted. */
const checkpointedStage: CheckpointedStage<number> = {
  kind: 'checkpointed',
  name: 'totals',
  input: 'in',
  outputs: ['totals'],
  changelog: 'totals-changelog',
  checkpointMs: 0,
  dlq: 'dlq',
  codec: { encode: (value) => Buffer.from(String(value)), decode: (bytes) => Number(Buffer.from(bytes).toString()) },
  open: ({ store, emit }) => ({
    process({ key, value }: LogRecord) {
      const now = Number(value);
      if (Number.isNaN(now)) throw new SluiceError('not a number', { code: 'NOT_A_NUMBER', action: 'dead-letter' });
      const total = (store.get('t', key!.toString()) ?? 0) + now;
      store.put('t', key!.toString(), total);
      emit('totals', key, Buffer.from(String(total)), 0);
    },
    streamTimeMs: () => 0,
  }),
};

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-task-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

interface Crash {
  /** After how many passings of a step, or commits, it strikes. */
  readonly after: number;
  readonly at: TaskStep | Fault;
}

/** Runs the task to the end of its input, crashing as told and starting again. */
async function runThrough(
  log: MemoryLog,
  stage: ViewStage | CheckpointedStage<number>,
  options: {
    readonly crashes: readonly Crash[];
    readonly end: bigint;
    readonly maxRecords: number;
    readonly folder: string;
  },
): Promise<number> {
  const crashes = [...options.crashes];
  const take = (what: string): boolean => {
    const next = crashes[0];
    if (next === undefined || next.at !== what) return false;
    if (next.after > 0) {
      crashes[0] = { ...next, after: next.after - 1 };
      return false;
    }
    crashes.shift();
    return true;
  };
  log.fault = () => (['before-produce', 'after-produce', 'unknown'] as const).find((fault) => take(fault)) ?? null;
  let starts = 0;
  for (;;) {
    starts++;
    expect(starts).toBeLessThan(200);
    const task: StageTask = new StageTask({
      stage,
      partition: 0,
      client: log,
      input: log.reader(),
      restore: log.reader(),
      dir: options.folder,
      prepare: async () => {},
      metrics,
      maxRecords: options.maxRecords,
      probe: (step) => {
        if (take(step)) throw new SluiceError('crash', { code: 'CRASH', action: 'reconnect' });
        if (step === 'applied') void done();
      },
    });
    const done = async () => {
      if ((await log.committed(stage.name, 'in', 0))?.offset === options.end) task.stop();
    };
    try {
      await done();
      await task.run();
      return starts;
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
      // Crashed behind the last commit: the next one had nothing to do and was stopped while it restored.
      if (error.code === 'STOPPED') return starts;
    }
  }
}

const inputs = fc.array(
  fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.oneof(fc.integer({ min: -9, max: 9 }), fc.constant('x'))),
  {
    minLength: 1,
    maxLength: 40,
  },
);
const steps = fc.constantFrom<Crash['at']>(
  'fenced',
  'positioned',
  'restored',
  'gathered',
  'processed',
  'committed',
  'applied',
  'before-produce',
  'after-produce',
  'unknown',
);
const crashesOf = fc.array(fc.record({ after: fc.integer({ min: 0, max: 4 }), at: steps }), { maxLength: 8 });

describe('a stage task, crashed at any step', () => {
  it('keeps a view store exact: every record counted once, outputs in order, bad ones in the DLQ', async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(inputs, crashesOf, fc.integer({ min: 1, max: 7 }), async (records, crashes, maxRecords) => {
        const log = new MemoryLog();
        for (const [key, value] of records)
          log.append('in', 0, { key: Buffer.from(key), value: Buffer.from(String(value)) });
        const folder = join(dir, `v${run++}`);
        await runThrough(log, viewStage, { crashes, end: BigInt(records.length), maxRecords, folder });
        const latest = new Map<string, number>();
        const deltas: string[] = [];
        records.forEach(([key, value], offset) => {
          if (typeof value === 'string') return;
          deltas.push(`${offset}:${value - (latest.get(key) ?? 0)}`);
          latest.set(key, value);
        });
        expect(log.records('deltas', 0).map(({ value }) => value!.toString())).toEqual(deltas);
        const compacted = [...log.compacted('latest', 0)].map(([key, value]) => [key, Number(value)]);
        expect(new Map(compacted as [string, number][])).toEqual(latest);
        const letters = log.records('dlq', 0).map(({ headers }) => {
          return headers.find(({ key }) => key === 'sluice.offset')!.value.toString();
        });
        expect(letters).toEqual(records.flatMap(([, value], i) => (typeof value === 'string' ? [String(i)] : [])));
      }),
      { seed: SEED, numRuns: 60 },
    );
  });

  it('restores a checkpointed store by changelog and silent replay to the same totals', async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(
        inputs,
        crashesOf,
        fc.integer({ min: 1, max: 7 }),
        fc.boolean(),
        async (records, crashes, maxRecords, often) => {
          const log = new MemoryLog();
          for (const [key, value] of records)
            log.append('in', 0, { key: Buffer.from(key), value: Buffer.from(String(value)) });
          const stage = { ...checkpointedStage, checkpointMs: often ? 0 : 1e9 };
          const folder = join(dir, `c${run++}`);
          await runThrough(log, stage, { crashes, end: BigInt(records.length), maxRecords, folder });
          const totals = new Map<string, number>();
          const emitted: string[] = [];
          for (const [key, value] of records) {
            if (typeof value === 'string') continue;
            totals.set(key, (totals.get(key) ?? 0) + value);
            emitted.push(`${key}=${totals.get(key)}`);
          }
          expect(log.records('totals', 0).map(({ key, value }) => `${key}=${value}`)).toEqual(emitted);
        },
      ),
      { seed: SEED, numRuns: 60 },
    );
  });

  it('starts from the changelog alone when the local folder is gone', async () => {
    const log = new MemoryLog();
    const stage = { ...checkpointedStage, checkpointMs: 0 };
    for (let i = 0; i < 10; i++) log.append('in', 0, { key: Buffer.from('a'), value: Buffer.from('1') });
    await runThrough(log, stage, { crashes: [], end: 10n, maxRecords: 3, folder: join(dir, 'first') });
    log.append('in', 0, { key: Buffer.from('a'), value: Buffer.from('1') });
    await runThrough(log, stage, { crashes: [], end: 11n, maxRecords: 3, folder: join(dir, 'second') });
    expect(log.records('totals', 0).at(-1)!.value!.toString()).toBe('11');
  });
});

describe('a stage task', () => {
  it('changes nothing as a zombie: a predecessor that wakes up is fenced', async () => {
    const log = new MemoryLog();
    const old = log.writer('sum-0');
    await old.fence();
    log.append('in', 0, { key: Buffer.from('a'), value: Buffer.from('5') });
    await runThrough(log, viewStage, { crashes: [], end: 1n, maxRecords: 9, folder: dir });
    const batch = old.batch('deltas', 0);
    batch.append(Buffer.from('a'), Buffer.from('zombie'), 0);
    const offsets = { group: 'sum', topic: 'in', partition: 0, offset: 0n, metadata: '' };
    await expect(old.commit([batch], offsets)).rejects.toMatchObject({ code: 'KAFKA_INVALID_PRODUCER_EPOCH' });
    expect(log.records('deltas', 0).map(({ value }) => value!.toString())).toEqual(['0:5']);
    expect((await log.committed('sum', 'in', 0))?.offset).toBe(1n);
  });

  it('gives a clock reading only after the records that were in front of it', async () => {
    const log = new MemoryLog();
    const seen: string[] = [];
    const stage: ViewStage = {
      ...viewStage,
      open: () => ({
        process: ({ offset }) => void seen.push(`record ${offset}`),
        clock: ({ position }) => void seen.push(`clock ${position}`),
        streamTimeMs: () => 0,
      }),
    };
    for (let i = 0; i < 5; i++) log.append('in', 0, { key: null, value: Buffer.from('1') });
    const task = new StageTask({
      stage,
      partition: 0,
      client: log,
      input: log.reader(),
      restore: log.reader(),
      dir,
      prepare: async () => {},
      metrics,
      maxRecords: 2,
    });
    task.clock({ position: 9n, timeMs: 1 }, 3n);
    task.clock({ position: 10n, timeMs: 2 }, 5n);
    const running = task.run();
    await expect.poll(() => seen.at(-1)).toBe('clock 10');
    task.stop();
    await running;
    expect(seen.indexOf('clock 9')).toBeGreaterThan(seen.indexOf('record 2'));
    expect(seen.indexOf('clock 10')).toBeGreaterThan(seen.indexOf('record 4'));
  });

  it.each([true, false])('makes progress, with nothing to read, as the broker answers: %s', async (answers) => {
    const log = new MemoryLog();
    log.answers = answers;
    let succeeded = 0;
    let turns = 0;
    const task = new StageTask({
      ...{ stage: viewStage, partition: 0, client: log, input: log.reader(), restore: log.reader(), dir, metrics },
      prepare: async () => {},
      succeeded: () => void succeeded++,
      probe: (step) => void (step === 'gathered' && turns++),
    });
    const running = task.run();
    const woken = () => {
      task.wake();
      return turns;
    };
    await expect.poll(woken).toBeGreaterThan(2);
    expect([task.progressAt > 0, succeeded > 0]).toEqual([answers, answers]);
    task.stop();
    await running;
  });
});

/** The log of a broker that refuses transactions with a record of more than `max` bytes in an output. */
class StrictLog extends MemoryLog {
  readonly max = 10;

  override writer(transactionalId: string): TransactionalWriter {
    const writer = super.writer(transactionalId);
    let large = false;
    return {
      ...writer,
      batch: (topic, partition) => {
        const batch = writer.batch(topic, partition);
        const append: OutputBatch['append'] = (...record) => {
          if (topic !== 'dlq' && (record[1]?.length ?? 0) > this.max) large = true;
          batch.append(...record);
        };
        return new Proxy(batch, { get: (target, name) => (name === 'append' ? append : Reflect.get(target, name)) });
      },
      commit: async (...commit) => {
        if (large) throw new SluiceError('too large', { code: 'KAFKA_MESSAGE_TOO_LARGE', action: 'dead-letter' });
        return await writer.commit(...commit);
      },
    };
  }
}

describe('a stage task whose outputs the broker refuses', () => {
  /** Every total is emitted with as many bytes as its record's value has. */
  const stage: CheckpointedStage<number> = {
    ...checkpointedStage,
    checkpointMs: 1e9,
    open: ({ store, emit }) => ({
      process({ key, value }) {
        const total = (store.get('t', key!.toString()) ?? 0) + 1;
        store.put('t', key!.toString(), total);
        emit('totals', key, Buffer.from(String(total).padStart(value!.length, '0')), 0);
      },
      streamTimeMs: () => 0,
    }),
  };

  function taskOn(log: MemoryLog, folder: string): StageTask {
    const task: StageTask = new StageTask({
      stage,
      partition: 0,
      client: log,
      input: log.reader(),
      restore: log.reader(),
      dir: folder,
      prepare: async () => {},
      metrics,
    });
    return task;
  }

  /** What a worker does: runs it again, and halves when the records are at fault. Returns how often. */
  async function supervise(log: MemoryLog, task: StageTask, end: bigint): Promise<number> {
    const poll = expect.poll(async () => (await log.committed('totals', 'in', 0))?.offset ?? 0n, { timeout: 10_000 });
    const reached = poll.toBeGreaterThanOrEqual(end).finally(() => task.stop());
    for (let tries = 0; ; tries++) {
      expect(tries).toBeLessThan(100);
      try {
        await task.run();
        await reached;
        return tries;
      } catch (error) {
        expect(error).toMatchObject({ code: 'KAFKA_MESSAGE_TOO_LARGE' });
        expect(task.isolate()).toBe(true);
      }
    }
  }

  const inputs = (log: MemoryLog, sizes: readonly number[]) => {
    for (const size of sizes) log.append('in', 0, { key: Buffer.from('a'), value: Buffer.alloc(size, 49) });
  };
  const totals = (log: MemoryLog) => log.records('totals', 0).map(({ value }) => Number(value));
  const refused = (log: MemoryLog) =>
    log.records('dlq', 0).map(({ headers }) => {
      const value = (name: string) => headers.find(({ key }) => key === name)!.value.toString();
      return `${value('sluice.offset')} ${value('sluice.reason')}`;
    });

  it.each([0, 1, 500, 998, 999])(
    'finds the one at %i of a thousand in a dozen tries, and the others land',
    async (at) => {
      const log = new StrictLog();
      inputs(
        log,
        Array.from({ length: 1_000 }, (_, i) => (i === at ? 50 : 1)),
      );
      aborts = 0;
      const tries = await supervise(log, taskOn(log, join(dir, 's')), 1_000n);
      expect(aborts).toBe(tries);
      expect(refused(log)).toEqual([`${at} RECORD_TOO_LARGE`]);
      expect(totals(log)).toEqual(Array.from({ length: 999 }, (_, i) => i + 1));
      expect(tries).toBeLessThanOrEqual(12);
    },
  );

  it('finds one behind a gap in the offsets, where the position is not its offset', async () => {
    const log = new StrictLog();
    for (const size of [1, 50, 1]) await commitPlain(log, size);
    log.maxRun = 1;
    await supervise(log, taskOn(log, join(dir, 'g')), 5n);
    expect(refused(log)).toEqual(['2 RECORD_TOO_LARGE']);
    expect(totals(log)).toEqual([1, 2]);
  });

  it('never counts a refused record in a silent replay', async () => {
    const log = new StrictLog();
    inputs(log, [1, 50, 1]);
    await supervise(log, taskOn(log, join(dir, 'first')), 3n);
    inputs(log, [1]);
    await supervise(log, taskOn(log, join(dir, 'second')), 4n);
    expect(totals(log)).toEqual([1, 2, 3]);
  });

  it('says when no record is at fault', () => {
    expect(taskOn(new StrictLog(), dir).isolate()).toBe(false);
  });
});

/** One record in a transaction of its own, so that a control record follows it. */
async function commitPlain(log: MemoryLog, size: number): Promise<void> {
  const writer = MemoryLog.prototype.writer.call(log, 'producer');
  await writer.fence();
  const batch = writer.batch('in', 0);
  batch.append(Buffer.from('a'), Buffer.alloc(size, 49), 0);
  await writer.commit([batch], { group: 'producer', topic: 'none', partition: 0, offset: 0n, metadata: '' });
}

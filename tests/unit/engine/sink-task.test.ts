import { describe, expect, it } from 'vitest';
import { BAD, endOf, filled, letters, runThrough, taskOn } from './sink-harness.ts';
import { BoardTarget, OffsetTarget, RangeTarget, REFUSED, STAMP } from './sink-targets.ts';

describe('a sink task', () => {
  it('writes letters with where and why, and the bytes as they were', async () => {
    const { log, records } = await filled('1', BAD, REFUSED, '2');
    await runThrough(log, new RangeTarget(), { crashes: [], end: endOf(records), maxRecords: 100 });
    const [bad, refused] = log.records('dlq', 0);
    expect(bad!.value!.toString()).toBe(BAD);
    expect(bad!.key!.toString()).toBe('k');
    const named = Object.fromEntries(refused!.headers.map(({ key, value }) => [key, Buffer.from(value).toString()]));
    expect(named).toMatchObject({
      'sluice.reason': 'SINK_REFUSED',
      'sluice.message': 'ROW_REFUSED: a row is refused',
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

  it('makes no progress before the broker has answered', async () => {
    const started = async (answers: boolean) => {
      const { log } = await filled();
      log.answers = answers;
      const task = taskOn(log, new RangeTarget());
      return { log, task, running: task.run() };
    };
    const [deaf, hearing] = await Promise.all([started(false), started(true)]);
    const progress = () => {
      // What is written elsewhere lets both take a turn.
      for (const { log } of [deaf, hearing]) log.append('elsewhere', 0, { value: null });
      return hearing.task.progressAt;
    };
    await expect.poll(progress).toBeGreaterThan(0);
    expect(deaf.task.progressAt).toBe(0);
    for (const { task } of [deaf, hearing]) task.stop();
    await Promise.all([deaf.running, hearing.running]);
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

import { pino } from 'pino';
import { afterEach, expect, it } from 'vitest';
import { Broadcast } from '../../../engine/broadcast.ts';
import { SluiceError } from '../../../engine/errors.ts';
import type { FetchedRun } from '../../../engine/log.ts';
import { MemoryLog } from '../../support/memory-log.ts';

const PARTITIONS = 3;

/** A log that is away for the first questions. */
class Log extends MemoryLog {
  away = 0;

  override async partitions(): Promise<number> {
    if (this.away-- > 0) throw new SluiceError('away', { code: 'AWAY', action: 'retry' });
    return PARTITIONS;
  }

  put(partition: number, value: string): void {
    this.append('t', partition, { value: Buffer.from(value) });
  }
}

const open: Broadcast[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((broadcast) => broadcast.close()));
});

interface Reading {
  readonly broadcast: Broadcast;
  readonly read: string[];
  readonly retried: string[];
  readonly ended: Promise<unknown>;
}

const textsOf = (records: FetchedRun['records']) => records.map(({ value }) => String(value));

function start(log: Log, each: (partition: number, run: FetchedRun) => void | Promise<void> = () => {}): Reading {
  const read: string[] = [];
  const retried: string[] = [];
  const broadcast = new Broadcast(log, {
    topic: 't',
    logger: pino({ level: 'silent' }),
    prepare: async () => {},
    each: async (partition, run) => {
      await each(partition, run);
      read.push(...textsOf(run.records).map((text) => `${partition}${text}`));
    },
    retried: (code) => retried.push(code),
  });
  open.push(broadcast);
  const ended = broadcast.run().then(
    () => null,
    (error: unknown) => error,
  );
  return { broadcast, read, retried, ended };
}

it('reads all partitions from the beginning, has caught up when it has read what was there, and goes on', async () => {
  const log = new Log();
  for (let partition = 0; partition < PARTITIONS; partition++) log.put(partition, 'a');
  let let2Go = () => {};
  const held = new Promise<void>((resolve) => {
    let2Go = resolve;
  });
  const { broadcast, read } = start(log, async (partition) => (partition === 2 ? await held : undefined));
  expect(broadcast.caughtUp).toBe(false);
  await expect.poll(() => read.toSorted()).toEqual(['0a', '1a']);
  expect(broadcast.caughtUp).toBe(false);
  expect(broadcast.lags).toContainEqual({ partition: 2, lag: 1n });
  let2Go();
  await expect.poll(() => broadcast.caughtUp).toBe(true);
  log.put(1, 'b');
  await expect.poll(() => read.at(-1)).toBe('1b');
  expect(read).toHaveLength(4);
  expect(broadcast.lags.every(({ lag }) => lag === 0n)).toBe(true);
});

it('waits for a log that is away', async () => {
  const log = new Log();
  log.away = 2;
  log.put(0, 'a');
  const { read, retried } = start(log);
  await expect.poll(() => read).toEqual(['0a']);
  expect(retried).toEqual(['AWAY', 'AWAY']);
});

it('is given the same run again after an error in it, and the other partitions go on', async () => {
  const log = new Log();
  log.put(0, 'a');
  log.put(1, 'b');
  let failures = 2;
  const { read, retried } = start(log, (partition) => {
    if (partition === 0 && failures-- > 0) throw new SluiceError('again', { code: 'AGAIN', action: 'retry' });
  });
  await expect.poll(() => read.toSorted()).toEqual(['0a', '1b']);
  expect(retried).toEqual(['AGAIN', 'AGAIN']);
});

it('ends with what waiting does not mend', async () => {
  const log = new Log();
  log.put(0, 'a');
  const error = new SluiceError('gone', { code: 'GONE', action: 'fatal' });
  const { ended } = start(log, () => {
    throw error;
  });
  expect(await ended).toBe(error);
});

it('reads a partition again up to an offset, from inside a run', async () => {
  const log = new Log();
  const again: string[] = [];
  for (const text of ['a', 'b', 'c']) log.put(0, text);
  const { broadcast, read } = start(log, async (partition, run) => {
    if (partition === 0) await broadcast.readAgain(0, run.next - 1n, (records) => again.push(...textsOf(records)));
  });
  await expect.poll(() => read).toEqual(['0a', '0b', '0c']);
  expect(again).toEqual(['a', 'b']);
});

it('ends when it is closed, while it waits and while it has not begun', async () => {
  const { broadcast, ended } = start(new Log());
  await expect.poll(() => broadcast.caughtUp).toBe(true);
  await broadcast.close();
  expect(await ended).toBeNull();
  const away = new Log();
  away.away = Number.POSITIVE_INFINITY;
  const waiting = start(away);
  await expect.poll(() => waiting.retried.length).toBeGreaterThan(0);
  await waiting.broadcast.close();
  expect(await waiting.ended).toBeNull();
});

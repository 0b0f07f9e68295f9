import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { LogReader } from '../../../engine/log.ts';
import { readToEnd } from '../../../engine/restore.ts';
import { MemoryLog } from '../../support/memory-log.ts';

const at = { topic: 't', partition: 0 };

function filled(count: number): MemoryLog {
  const log = new MemoryLog();
  for (let i = 0; i < count; i++) log.append('t', 0, { value: Buffer.from(String(i)) });
  return log;
}

/** Counts what is opened and closed. */
function counting(log: MemoryLog): { readonly reader: LogReader; readonly open: () => number } {
  let open = 0;
  const reader: LogReader = {
    open: (...from) => {
      open++;
      const stream = log.reader().open(...from);
      const close = stream.close.bind(stream);
      return Object.assign(stream, {
        close: () => {
          open--;
          close();
        },
      });
    },
    close: async () => {},
  };
  return { reader, open: () => open };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('reading a range to its end', () => {
  it.each([1, 3, 100])('hands over exactly the range, in runs of at most %i', async (maxRun) => {
    const log = filled(20);
    log.maxRun = maxRun;
    const seen: bigint[] = [];
    const nexts: bigint[] = [];
    const { reader, open } = counting(log);
    await readToEnd(reader, { ...at, from: 4n, end: 17n }, (run) => {
      seen.push(...run.records.map(({ offset }) => offset));
      nexts.push(run.next);
    });
    expect(seen).toEqual(Array.from({ length: 13 }, (_, i) => BigInt(i + 4)));
    expect(nexts.at(-1)).toBe(17n);
    expect(open()).toBe(0);
  });

  it('opens nothing for an empty range', async () => {
    const reader: LogReader = {
      open: () => {
        throw new Error('opened');
      },
      close: async () => {},
    };
    await readToEnd(reader, { ...at, from: 5n, end: 5n }, () => {});
  });

  it('waits for each run to be taken before it reads on', async () => {
    const log = filled(4);
    log.maxRun = 1;
    let inside = 0;
    await readToEnd(log.reader(), { ...at, from: 0n, end: 4n }, async () => {
      expect(++inside).toBe(1);
      await Promise.resolve();
      inside--;
    });
  });

  it('says where it stalled when nothing comes for a minute, and closes its stream', async () => {
    const log = filled(3);
    const { reader, open } = counting(log);
    const stalled = expect(readToEnd(reader, { ...at, from: 0n, end: 9n }, () => {})).rejects.toMatchObject({
      code: 'RESTORE_STALLED',
      action: 'reconnect',
      message: 'Reading t-0 stalled at 3, before 9',
    });
    await vi.advanceTimersByTimeAsync(60_000);
    await stalled;
    expect(open()).toBe(0);
  });

  it('is patient with a slow topic: only silence counts', async () => {
    const log = filled(0);
    let seen = 0;
    const reading = readToEnd(log.reader(), { ...at, from: 0n, end: 3n }, ({ records }) => {
      seen += records.length;
    });
    for (let i = 0; i < 3; i++) {
      await vi.advanceTimersByTimeAsync(50_000);
      log.append('t', 0, { value: Buffer.from('x') });
    }
    await vi.advanceTimersByTimeAsync(5_000);
    await reading;
    expect(seen).toBe(3);
  });

  it('passes on what the taker throws, and closes its stream', async () => {
    const { reader, open } = counting(filled(2));
    const failing = readToEnd(reader, { ...at, from: 0n, end: 2n }, () => {
      throw new Error('taker');
    });
    await expect(failing).rejects.toThrow('taker');
    expect(open()).toBe(0);
  });
});

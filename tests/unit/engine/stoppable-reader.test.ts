import { describe, expect, it } from 'vitest';
import { readToEnd } from '../../../engine/restore.ts';
import { StoppableReader } from '../../../engine/stoppable-reader.ts';
import { MemoryLog } from '../../support/memory-log.ts';

const at = { topic: 't', partition: 0 };

function filled(count: number): MemoryLog {
  const log = new MemoryLog();
  for (let i = 0; i < count; i++) log.append('t', 0, { value: Buffer.from(String(i)) });
  return log;
}

describe('a reader that can be stopped', () => {
  it('reads as its own reader does until then', async () => {
    const seen: bigint[] = [];
    await readToEnd(new StoppableReader(filled(9).reader()), { ...at, from: 2n, end: 7n }, ({ records }) => {
      seen.push(...records.map(({ offset }) => offset));
    });
    expect(seen).toEqual([2n, 3n, 4n, 5n, 6n]);
  });

  it('ends a restore between two runs, and one that waits, and one that begins later', async () => {
    const log = filled(9);
    log.maxRun = 2;
    const reader = new StoppableReader(log.reader());
    let runs = 0;
    const restore = readToEnd(reader, { ...at, from: 0n, end: 9n }, () => {
      runs++;
      if (runs === 2) reader.stop();
    });
    await expect(restore).rejects.toMatchObject({ code: 'STOPPED' });
    expect(runs).toBe(2);
    const other = new StoppableReader(log.reader());
    const waiting = other.open('t', 0, 9n).next(600_000);
    other.stop();
    await expect(waiting).rejects.toMatchObject({ code: 'STOPPED' });
    await expect(other.open('t', 0, 0n).next(0)).rejects.toMatchObject({ code: 'STOPPED' });
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatProgress, parseProgress } from '../../../pipelines/engagement/correction-cursor.ts';

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const position = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });

describe('the progress committed with an offset', () => {
  it('comes back as it was, with keys of any bytes and positions of 64 bits', () => {
    fc.assert(
      fc.property(position, fc.option(bytes), position, (offset, after, mark) => {
        const progress = { cursor: { offset, after }, mark };
        expect(parseProgress(formatProgress(progress))).toEqual(progress);
      }),
      { seed: 3 },
    );
  });

  it('tells the beginning of a content from the content whose key is empty', () => {
    const at = (after: Buffer | null) => formatProgress({ cursor: { offset: 5n, after }, mark: 0n });
    expect(at(null)).not.toBe(at(Buffer.alloc(0)));
  });

  it('is nothing for an offset that was committed without it', () => {
    expect(parseProgress('')).toBeNull();
  });

  it('reads what was committed before marks were part of it', () => {
    const cursor = { offset: 7n, after: Buffer.from('key') };
    expect(parseProgress('{"content":"7","after":"a2V5"}')).toEqual({ cursor, mark: 0n });
  });

  it('stays below the size that a broker takes for the longest key', () => {
    const after = Buffer.alloc(5 + 2 + 256 + 10);
    const text = formatProgress({ cursor: { offset: 2n ** 63n - 1n, after }, mark: 2n ** 63n - 1n });
    expect(text.length).toBeLessThan(1024);
  });
});

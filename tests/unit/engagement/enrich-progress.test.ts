import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatProgress, type Progress, parseProgress } from '../../../pipelines/engagement/enrich/progress.ts';
import { FIRST_EDITION } from '../../../pipelines/engagement/enrichment-deployment.ts';

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const position = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });
const count = fc.nat();

const progress: fc.Arbitrary<Progress> = fc.record({
  cursor: fc.record({ offset: position, after: fc.option(bytes) }),
  mark: fc.record({ lsn: position, timeMs: count }),
  revision: fc.record({
    edition: fc.record({ logic: count, revision: count }),
    pass: fc.option(
      fc.oneof(
        fc.record({ after: fc.constant(null), rows: fc.constant(0), of: count }),
        fc.record({ after: bytes, rows: count, of: count }),
      ),
    ),
  }),
});

const plain = { mark: { lsn: 0n, timeMs: 0 }, revision: { edition: FIRST_EDITION, pass: null } };

describe('the progress committed with an offset', () => {
  it('comes back as it was, with keys of any bytes and positions of 64 bits', () => {
    fc.assert(
      fc.property(progress, (one) => {
        expect(parseProgress(formatProgress(one))).toEqual(one);
      }),
      { seed: 3 },
    );
  });

  it('tells the beginning of a content from the content whose key is empty', () => {
    const at = (after: Buffer | null) => formatProgress({ cursor: { offset: 5n, after }, ...plain });
    expect(at(null)).not.toBe(at(Buffer.alloc(0)));
  });

  it('is nothing for an offset that was committed without it', () => {
    expect(parseProgress('')).toBeNull();
  });

  it('reads what was committed before marks and editions were part of it', () => {
    const cursor = { offset: 7n, after: Buffer.from('key') };
    expect(parseProgress('{"content":"7","row":"a2V5"}')).toEqual({ cursor, ...plain });
    const mark = { lsn: 9n, timeMs: 0 };
    expect(parseProgress('{"content":"7","row":"a2V5","mark":"9"}')).toEqual({ cursor, ...plain, mark });
  });

  it('walks a content and a pass from their beginnings where they were left in another order of the store', () => {
    const left = '{"content":"7","after":"a2V5","edition":[1,2],"pass":{"after":"a2V5","rows":3,"of":5}}';
    expect(parseProgress(left)).toEqual({
      cursor: { offset: 7n, after: null },
      mark: plain.mark,
      revision: { edition: { logic: 1, revision: 2 }, pass: { after: null, rows: 0, of: 5 } },
    });
  });

  it('stays below the size that a broker takes for the longest keys', () => {
    const after = Buffer.alloc(5 + 2 + 256 + 10);
    const text = formatProgress({
      cursor: { offset: 2n ** 63n - 1n, after },
      mark: { lsn: 2n ** 63n - 1n, timeMs: 2 ** 43 },
      revision: { edition: { logic: 999, revision: 99_999 }, pass: { after, rows: 2 ** 40, of: 2 ** 40 } },
    });
    expect(text.length).toBeLessThan(1024);
  });
});

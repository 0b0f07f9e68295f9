import { describe, expect, it } from 'vitest';
import {
  microsCell,
  millisCell,
  secondsCell,
  textCell,
  textCells,
} from '../../../connectors/clickhouse/tab-separated.ts';
import {
  CHANGES_COLUMNS,
  type ChangeRow,
  changeRows,
  changesProgress,
  type EventRow,
} from '../../../pipelines/engagement/clickhouse-rows.ts';

const EVENT: EventRow = {
  event_id: 9_007_199_254_740_993n,
  content_id: 'c',
  user_id: 'u',
  event_type: 'play',
  event_ts: 1_770_000_000_000_001,
  duration_ms: 0,
  device: null,
  duration_ms_wide: null,
  extra: null,
  content_slug: 'slug',
  content_title: 'tab\there',
  content_type: 'podcast',
  content_length_seconds: null,
  content_length_seconds_wide: null,
  engagement_pct_bp: null,
};

const CHANGE: ChangeRow = { kind: 'update', lsn: 2n ** 63n, xid: 0n, commit_ts: 5, before: null, after: null };

function emitted(value: ChangeRow): readonly (readonly [number, readonly string[]])[] {
  const rows: [number, string[]][] = [];
  changeRows({ kind: 'upsert', offset: 1n, key: null, value }, (part, values) =>
    rows.push([part, textCells(CHANGES_COLUMNS, values).split('\t')]),
  );
  return rows;
}

describe('cells', () => {
  it('escape what would end a cell or a row', () => {
    expect(textCell('a\tb\nc\rd\\e\0f')).toBe('a\\tb\\nc\\rd\\\\e\\0f');
    expect(textCell('plain ünï')).toBe('plain ünï');
  });

  it('tell NULL from a text that looks like it, and from nothing', () => {
    const columns = [{ name: 'c', type: 'Nullable(String)' }] as const;
    expect([null, '\\N', ''].map((value) => textCells(columns, [value]))).toEqual(['\\N', '\\\\N', '']);
  });

  it('quote the texts of an array', () => {
    expect(textCells([{ name: 'c', type: 'Array(String)' }], [["it's", 'a\tb']])).toBe("['it\\'s','a\\tb']");
    expect(textCells([{ name: 'c', type: 'Array(String)' }], [[]])).toBe('[]');
  });

  it('write times exactly, with ten digits of seconds', () => {
    expect(microsCell(0)).toBe('0000000000.000000');
    expect(microsCell(1_770_000_000_000_001)).toBe('1770000000.000001');
    // 2200-01-01, the last year there is: every microsecond is an exact number.
    expect(microsCell(7_258_118_399_999_999)).toBe('7258118399.999999');
    expect(millisCell(1_500_007)).toBe('0000001500.007');
    expect(millisCell(-1)).toBe('1969-12-31 23:59:59.999');
    expect(secondsCell(1_770_000_000_999)).toBe('1770000000');
  });
});

describe('changeRows', () => {
  it('takes off before, then adds after, with the position of the change', () => {
    const after = { ...EVENT, duration_ms: 7 };
    const rows = emitted({ ...CHANGE, before: EVENT, after });
    const head = ['9007199254740993', 'c', 'u', 'play', '1770000000.000001'];
    const middle = ['\\N', 'slug', 'tab\\there', 'podcast', '\\N', '\\N', '\\N'];
    const position = ['update', '9223372036854775808', '0', '0000000000.005'];
    expect(rows).toEqual([
      [-1, [...head, '0', ...middle, ...position]],
      [1, [...head, '7', ...middle, ...position]],
    ]);
  });

  it('writes a value that does not fit 32 bits into the same cell, and carried columns as they are', () => {
    const wide = { duration_ms: null, duration_ms_wide: 3_000_000_000, content_length_seconds_wide: 2 ** 40 };
    const [[, cells]] = emitted({ ...CHANGE, after: { ...EVENT, ...wide, extra: '{"a":"b\\tc"}' } }) as [[1, string[]]];
    expect(cells.slice(5, 13)).toEqual([
      ...['3000000000', '\\N', 'slug', 'tab\\there', 'podcast'],
      ...['1099511627776', '\\N', '{"a":"b\\\\tc"}'],
    ]);
  });

  it('writes nothing for a mark', () => {
    expect(emitted({ ...CHANGE, kind: 'mark' })).toEqual([]);
  });
});

describe('changesProgress', () => {
  const record = (offset: number, value: ChangeRow) =>
    ({ kind: 'upsert', offset: BigInt(offset), key: null, value }) as const;
  const batch = (...values: readonly ChangeRow[]) => ({
    topic: 't',
    partition: 0,
    from: 0n,
    to: 9n,
    generation: 1,
    records: values.map((value, index) => record(index, value)),
  });
  const mark = (lsn: bigint): ChangeRow => ({ ...CHANGE, kind: 'mark', lsn, commit_ts: Number(lsn) * 10 });

  it('is that of the last mark, since other changes promise nothing', () => {
    expect(changesProgress(batch(mark(1n), mark(2n), { ...CHANGE, lsn: 99n }))).toEqual({ lsn: 2n, streamTimeMs: 20 });
    expect(changesProgress(batch({ ...CHANGE, lsn: 99n }))).toBeNull();
  });
});

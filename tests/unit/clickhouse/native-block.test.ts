import { describe, expect, it } from 'vitest';
import { type ColumnType, NativeBlock, type Value } from '../../../connectors/clickhouse/native-block.ts';

/** What stands behind the head of a block of one column. */
function cellsOf(type: ColumnType, ...values: readonly Value[]): string {
  const block = new NativeBlock([{ name: 'c', type }]);
  for (const value of values) block.add([value], []);
  return block
    .take()
    .subarray(2 + 2 + 1 + type.length)
    .toString('hex');
}

const longText = 'x'.repeat(300);

describe('a block', () => {
  it('says how many columns and rows, then each column with its name and type', () => {
    const block = new NativeBlock([
      { name: 'a', type: 'Int8' },
      { name: 'b', type: 'Nullable(String)' },
    ]);
    block.add([1], ['x']);
    block.add([-1, null], []);
    const columns = [Buffer.from('\x01a\x04Int8'), Buffer.from([1, 255]), Buffer.from('\x01b\x10Nullable(String)')];
    expect(block.take()).toEqual(Buffer.concat([Buffer.from([2, 2]), ...columns, Buffer.from([0, 1, 1, 120, 0])]));
    block.clear();
    expect(block.rows).toBe(0);
    block.add([2, ''], []);
    expect(block.take()).toEqual(
      Buffer.concat([Buffer.from([2, 1]), columns[0]!, Buffer.from([2]), columns[2]!, Buffer.from([0, 0])]),
    );
  });

  it.each<[ColumnType, Value, string]>([
    ['Int8', -128, '80'],
    ['UInt16', 65_535, 'ffff'],
    ['UInt32', 4_294_967_295, 'ffffffff'],
    ['DateTime', 4_294_967_295, 'ffffffff'],
    ['Int64', -1, 'ffffffffffffffff'],
    ['Int64', -(2 ** 32), '00000000ffffffff'],
    ['Int64', Number.MAX_SAFE_INTEGER, 'ffffffffffff1f00'],
    ['Int64', -(2n ** 63n), '0000000000000080'],
    ['UInt64', 2n ** 64n - 1n, 'ffffffffffffffff'],
    ['UInt64', 2n ** 53n + 1n, '0100000000002000'],
    ['DateTime64(6)', 7_258_118_399_999_999, 'ff3ff86038c91900'],
    ['Nullable(Int64)', null, `01${'00'.repeat(8)}`],
    ['Nullable(Int64)', 0, `00${'00'.repeat(8)}`],
    ['String', 'a\0\n', '0361000a'],
    ['String', 'ü', '02c3bc'],
    ['String', longText, `ac02${'78'.repeat(300)}`],
    ['UUID', '00112233-4455-6677-8899-AABBccddeeff', '7766554433221100ffeeddccbbaa9988'],
    ['Int256', -1n, 'ff'.repeat(32)],
    ['Int256', 2n ** 64n + 3n, `03${'00'.repeat(7)}01${'00'.repeat(23)}`],
    ['Int256', -(2n ** 255n), `${'00'.repeat(31)}80`],
    ['Float64', -0.1, '9a9999999999b9bf'],
    ['Nullable(Float64)', null, `01${'00'.repeat(8)}`],
    ['Array(String)', ['a', 'ü'], `02${'00'.repeat(7)}016102c3bc`],
    ['Array(String)', [], '00'.repeat(8)],
  ])('writes %s %s', (type, value, hex) => {
    expect(cellsOf(type, value)).toBe(hex);
  });

  it('counts the texts of arrays over all rows, and anew in the next block', () => {
    const block = new NativeBlock([{ name: 'c', type: 'Array(String)' }]);
    const head = 2 + 2 + 1 + 'Array(String)'.length;
    block.add([['a']], []);
    block.add([['b', 'c']], []);
    const ends = (...of: readonly number[]) => of.map((end) => `0${end}${'00'.repeat(7)}`).join('');
    expect(block.take().subarray(head).toString('hex')).toBe(`${ends(1, 3)}016101620163`);
    block.clear();
    block.add([['d']], []);
    expect(block.take().subarray(head).toString('hex')).toBe(`${ends(1)}0164`);
  });

  it.each<[ColumnType, Value]>([
    ['Int8', 128],
    ['UInt16', -1],
    ['UInt32', 1.5],
    ['UInt64', -1],
    ['UInt64', -1n],
    ['Int64', 2n ** 63n],
    ['Int64', 2 ** 53],
    ['Int64', Number.NaN],
    ['Int64', null],
    ['String', null],
    ['String', 7],
    ['UUID', 'no uuid'],
    ['UUID', '00112233-4455-6677-8899-aabbccddeefg'],
    ['UUID', '00112233-4455-6677-8899-aabbccddeefé'],
    ['UUID', '00112233.4455-6677-8899-aabbccddeeff'],
    ['Nullable(UUID)', ''],
    ['Int256', 2n ** 255n],
    ['Int256', 1],
    ['Float64', 1n],
    ['Array(String)', 'a'],
    ['Array(String)', [null] as unknown as readonly string[]],
  ])('refuses %s %s, for which there is a dead letter', (type, value) => {
    expect(() => cellsOf(type, value)).toThrow(expect.objectContaining({ action: 'dead-letter' }));
  });
});

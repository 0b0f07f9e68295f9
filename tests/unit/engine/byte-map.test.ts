/** The map of byte strings against a Map of their texts. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ByteMap, hashOf } from '../../../engine/byte-map.ts';

type Model = Map<string, { readonly value: string | null; readonly stamp: number }>;

const hex = (bytes: Uint8Array | null): string | null => (bytes === null ? null : Buffer.from(bytes).toString('hex'));

function contents(map: ByteMap): Model {
  return new Map(
    Array.from({ length: map.size }, (_, entry) => {
      return [hex(map.key(entry))!, { value: hex(map.value(entry)), stamp: map.stamp(entry) }];
    }),
  );
}

/** Few keys, so that they come again; values beyond a chunk now and then. */
const key = fc.uint8Array({ minLength: 0, maxLength: 2, max: 9 });
const value = fc.oneof(
  { weight: 9, arbitrary: fc.uint8Array({ maxLength: 40 }) },
  { weight: 1, arbitrary: fc.constant(new Uint8Array(300_000).fill(7)) },
);
const puts = fc.array(fc.tuple(key, fc.option(value, { nil: null }), fc.nat()), { maxLength: 60 });

function put(map: ByteMap, model: Model, entries: readonly [Uint8Array, Uint8Array | null, number][]): void {
  for (const [name, bytes, stamp] of entries) {
    const [reusedKey, reusedValue] = [Buffer.from(name), bytes === null ? null : Buffer.from(bytes)];
    map.set(reusedKey, hashOf(reusedKey), reusedValue, stamp);
    model.set(hex(name)!, { value: hex(bytes), stamp });
    // Its own by now.
    reusedKey.fill(0xee);
    reusedValue?.fill(0xee);
  }
}

it('is a map in the order in which keys first came, alone and after taking over another', () => {
  fc.assert(
    fc.property(puts, puts, (first, second) => {
      const [map, other] = [new ByteMap(), new ByteMap()];
      const [model, otherModel]: [Model, Model] = [new Map(), new Map()];
      put(map, model, first);
      put(other, otherModel, second);
      const held = Array.from({ length: other.size }, (_, entry) => other.value(entry));
      const shown = held.map(hex);
      map.absorb(other);
      for (const [name, of] of otherModel) model.set(name, of);
      expect([...contents(map)]).toEqual([...model]);
      for (const name of model.keys()) {
        const bytes = Buffer.from(name, 'hex');
        expect(hex(map.key(map.find(bytes, hashOf(bytes))))).toBe(name);
      }
      const none = Buffer.from([10, 10]);
      expect(map.find(none, hashOf(none))).toBe(-1);
      put(map, model, first);
      expect(held.map(hex)).toEqual(shown);
      expect([...contents(map)]).toEqual([...model]);
    }),
    { seed: 11, numRuns: 200 },
  );
});

it('finds each of many keys, also those whose hashes are the same', () => {
  const map = new ByteMap();
  const keys = Array.from({ length: 5_000 }, (_, index) => Buffer.from(`key ${index}`));
  // A hash of its own choice: the keys themselves are compared.
  const poor = (bytes: Buffer) => bytes.length;
  for (const [index, one] of keys.entries()) map.set(one, index < 200 ? poor(one) : hashOf(one), one, index);
  const found = keys.map((one, index) => map.stamp(map.find(one, index < 200 ? poor(one) : hashOf(one))));
  expect(found).toEqual(keys.map((_, index) => index));
  expect(map.size).toBe(5_000);
});

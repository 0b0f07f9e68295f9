import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RecentSlots, SlotMap } from '../../../pipelines/prices/candles/slots.ts';

const SEED = 20_260_104;
const slot = fc.record({ series: fc.integer({ min: 8, max: 40 }), minute: fc.integer({ min: -2, max: 40 }) });
const nameOf = ({ series, minute }: { readonly series: number; readonly minute: number }) => `${series} ${minute}`;

describe('RecentSlots', () => {
  const step = fc.record({ at: slot, set: fc.boolean() });

  it('knows what was set last or nothing, and always what was used just now', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), fc.constantFrom(2, 16, 1024), (steps, places) => {
        const recent = new RecentSlots<number>(places);
        const all = new Map<string, number>();
        for (const [value, { at, set }] of steps.entries()) {
          const { series, minute } = at;
          if (set) {
            recent.set(series, minute, value);
            all.set(nameOf(at), value);
            expect(recent.get(series, minute)).toBe(value);
          } else {
            const known = recent.get(series, minute);
            expect(known === undefined || known === all.get(nameOf(at))).toBe(true);
            expect(recent.get(series, minute)).toBe(known);
          }
        }
      }),
      { seed: SEED, numRuns: 300 },
    );
  });

  it('keeps two of the slots that share their places', () => {
    const recent = new RecentSlots<string>(2);
    for (const [minute, value] of ['a', 'b', 'c'].entries()) recent.set(8, minute, value);
    expect([0, 1, 2].map((minute) => recent.get(8, minute))).toEqual([undefined, 'b', 'c']);
    recent.get(8, 1);
    recent.set(8, 3, 'd');
    expect([1, 2, 3].map((minute) => recent.get(8, minute))).toEqual(['b', undefined, 'd']);
  });
});

describe('SlotMap', () => {
  it('is a map in the order of insertion, empty again after clear, of any size', () => {
    const many = fc.array(fc.record({ series: fc.integer({ min: 8, max: 400 }), minute: fc.nat(99) }), {
      maxLength: 2_000,
      size: 'max',
    });
    const map = new SlotMap<string>();
    fc.assert(
      fc.property(many, (slots) => {
        const model = new Map<string, string>();
        for (const [at, { series, minute }] of slots.entries()) {
          const known = map.get(series, minute);
          expect(known).toBe(model.get(nameOf({ series, minute })));
          if (known !== undefined) continue;
          map.add(series, minute, `v${at}`);
          model.set(nameOf({ series, minute }), `v${at}`);
        }
        expect([...map.values()]).toEqual([...model.values()]);
        map.clear();
        expect([...map.values()]).toEqual([]);
      }),
      { seed: SEED, numRuns: 60 },
    );
  });

  it('shows what is added while it is read', () => {
    const map = new SlotMap<number>();
    map.add(8, 1, 1);
    const seen: number[] = [];
    for (const value of map.values()) {
      seen.push(value);
      if (value < 3) map.add(8, value + 1, value + 1);
    }
    expect(seen).toEqual([1, 2, 3]);
  });
});

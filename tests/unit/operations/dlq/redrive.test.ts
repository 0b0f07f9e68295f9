import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SluiceError } from '../../../../engine/errors.ts';
import { ANY_LETTER } from '../../../../pipelines/operations/dlq/filter.ts';
import { dlqRecord } from '../../../../pipelines/operations/dlq/letter.ts';
import { operatorWriter } from '../../../../pipelines/operations/dlq/redrive.ts';
import { headerText } from '../../../../pipelines/operations/operator-record.ts';
import type { Fault } from '../../../support/memory-log.ts';
import { DLQ, PIPELINE, TOPIC, ToyStage } from './toy-stage.ts';

const SEED = 20_260_104;

const row = fc.constantFrom('a', 'b', 'c');
const cause = fc.constantFrom('x', 'y');
const op = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('capture' as const), row, cause: fc.option(cause) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('process' as const), count: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('mend' as const), cause }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('redrive' as const),
      limit: fc.integer({ min: 1, max: 5 }),
      fault: fc.option(fc.constantFrom<Fault>('before-produce', 'after-produce', 'unknown')),
      // What is captured between the command's look and its commit.
      meanwhile: fc.array(row, { maxLength: 2 }),
    }),
  },
);

/** Runs a redrive whose first commit meets a fault, while rows go on changing. */
async function disturbed(
  stage: ToyStage,
  { fault, meanwhile, limit }: { fault: Fault | null; meanwhile: string[]; limit: number },
) {
  let first = true;
  stage.log.fault = () => {
    for (const one of meanwhile.splice(0)) stage.capture(one, null);
    const played = first ? fault : null;
    first = false;
    return played;
  };
  try {
    await stage.redrive({ limit });
  } catch (error) {
    if (!(error instanceof SluiceError && ['INJECTED', 'COMMIT_UNKNOWN'].includes(error.code))) throw error;
  } finally {
    stage.log.fault = () => null;
  }
}

function neverBack(stage: ToyStage): void {
  for (const taken of stage.taken.values()) expect(taken).toEqual([...taken].sort((a, b) => a - b));
}

describe('redrive', () => {
  it('never undoes a later change of a row, and in the end every row is what was captured last', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(op, { minLength: 5, maxLength: 40, size: 'max' }), async (ops) => {
        const stage = new ToyStage();
        for (const one of ops) {
          if (one.do === 'capture') stage.capture(one.row, one.cause);
          else if (one.do === 'process') await stage.process(one.count);
          else if (one.do === 'mend') stage.mended.add(one.cause);
          else await disturbed(stage, { ...one, meanwhile: [...one.meanwhile] });
          neverBack(stage);
        }
        for (const one of ['x', 'y']) stage.mended.add(one);
        await stage.process();
        await stage.redrive();
        await stage.process();
        neverBack(stage);
        expect(await stage.open()).toBe(0);
        const newest = new Map(stage.captured.map((change) => [change.row, change.sequence]));
        expect(new Map([...stage.taken].map(([name, taken]) => [name, taken.at(-1)]))).toEqual(newest);
      }),
      { seed: SEED, numRuns: 300 },
    );
  }, 60_000);

  it('finds nothing to do the second time', async () => {
    const stage = new ToyStage();
    for (let index = 0; index < 20; index++) stage.capture(`row ${index}`, 'x');
    await stage.process();
    stage.mended.add('x');
    expect(await stage.redrive()).toMatchObject({ redriven: 20, superseded: 0 });
    const written = stage.log.records(TOPIC, 0).length;
    expect(await stage.redrive()).toMatchObject({ redriven: 0, superseded: 0 });
    expect(stage.log.records(TOPIC, 0)).toHaveLength(written);
  });

  it('of two letters of a row redrives the newer, and says that the older is superseded', async () => {
    const stage = new ToyStage();
    stage.capture('a', 'x');
    stage.capture('a', 'x');
    await stage.process();
    stage.mended.add('x');
    expect(await stage.redrive()).toMatchObject({ redriven: 1, superseded: 1 });
    await stage.process();
    expect(stage.taken.get('a')).toEqual([1]);
  });

  it('says that a letter is superseded whose row changes between the look and the record', async () => {
    const stage = new ToyStage();
    for (const name of ['a', 'b']) stage.capture(name, 'x');
    await stage.process();
    stage.mended.add('x');
    let captured = false;
    stage.log.fault = () => {
      if (!captured) stage.capture('a', null);
      captured = true;
      return null;
    };
    expect(await stage.redrive()).toMatchObject({ redriven: 1, superseded: 1 });
    await stage.process();
    // The change of 'a' that came meanwhile, and what was redriven of 'b'.
    expect([stage.taken.get('a'), stage.taken.get('b')]).toEqual([[2], [1]]);
    const states = (await (await stage.catalogue()).newest(ANY_LETTER, 10)).found.map(({ letter, state }) => [
      letter.key!.toString(),
      state,
    ]);
    expect(new Map(states as [string, string][])).toEqual(
      new Map([
        ['a', 'superseded'],
        ['b', 'redriven'],
      ]),
    );
  });

  it('writes the bytes, the key and the time as they were, and counts attempts', async () => {
    const stage = new ToyStage();
    stage.capture('a', 'x');
    await stage.process();
    await stage.redrive();
    await stage.process();
    const [captured, again] = stage.log.records(TOPIC, 0);
    expect(again).toMatchObject({ key: captured!.key, value: captured!.value, timestampMs: captured!.timestampMs });
    const letters = stage.log.records(DLQ, 0).flatMap((record) => {
      const read = dlqRecord(record);
      return read.kind === 'letter' ? [read.letter] : [];
    });
    expect(letters.map(({ attempts }) => attempts)).toEqual([1, 2]);
    expect(headerText(again!.headers, 'sluice.origin')).toBe('redrive');
    const { left, candidates } = (await stage.redrive({ maxAttempts: 2 })).selection;
    expect(left.attempts).toBe(1);
    expect(candidates.size).toBe(0);
  });

  it('does a chunk whole or not at all when it is fenced', async () => {
    const stage = new ToyStage();
    for (const name of ['a', 'b', 'c']) stage.capture(name, 'x');
    await stage.process();
    const zombie = operatorWriter(stage.log, PIPELINE);
    await zombie.fence();
    stage.mended.add('x');
    await stage.redrive({ limit: 2 });
    const batch = zombie.batch(TOPIC, 0);
    batch.append(Buffer.from('a'), Buffer.from('late'), 0);
    await expect(zombie.commit([batch], null)).rejects.toMatchObject({ code: 'KAFKA_INVALID_PRODUCER_EPOCH' });
    expect(await stage.open()).toBe(1);
  });

  it('redrives what matches only', async () => {
    const stage = new ToyStage();
    for (const name of ['a', 'b']) stage.capture(name, 'x');
    await stage.process();
    const [letter] = (await (await stage.catalogue()).newest(ANY_LETTER, 10)).found;
    expect(await stage.redrive({ filter: { ...ANY_LETTER, ids: [String(letter!.letter.id)] } })).toMatchObject({
      redriven: 1,
    });
    expect(await stage.open()).toBe(1);
  });

  it('leaves alone what was discarded, and discards what is open only', async () => {
    const stage = new ToyStage();
    for (const name of ['a', 'b']) stage.capture(name, 'x');
    await stage.process();
    const ids = (await (await stage.catalogue()).newest(ANY_LETTER, 10)).found.map(({ letter }) => letter.id);
    expect(await stage.discard(ids.slice(0, 1))).toBe(1);
    expect(await stage.discard(ids.slice(0, 1))).toBe(0);
    expect(await stage.redrive()).toMatchObject({ redriven: 1 });
  });

  it('gives a letter of a sink to that sink alone, again when it was killed before it could say so', async () => {
    const stage = new ToyStage();
    await stage.putAside(7n);
    stage.log.fault = () => 'before-produce';
    await expect(stage.redrive()).rejects.toMatchObject({ code: 'INJECTED' });
    stage.log.fault = () => null;
    expect(await stage.redrive()).toMatchObject({ redriven: 1, refused: 0 });
    expect(await stage.redrive()).toMatchObject({ redriven: 0 });
    expect(stage.sunk).toEqual([7n, 7n]);
    expect(stage.log.records(TOPIC, 0)).toEqual([]);
  });

  it('leaves a letter open that its sink refuses again', async () => {
    const stage = new ToyStage();
    await stage.putAside(7n);
    stage.sinkTakes = () => {
      throw new SluiceError('still not', { code: 'CLICKHOUSE_TYPE_MISMATCH', action: 'dead-letter' });
    };
    expect(await stage.redrive()).toMatchObject({ redriven: 0, refused: 1 });
    expect(await stage.open()).toBe(1);
  });
});

import { describe, expect, it } from 'vitest';
import { compileReader } from '../../../engine/avro/compile-reader.ts';
import { FramedDecoder, type SchemaSource } from '../../../engine/avro/framed-decoder.ts';
import { record } from '../../../engine/avro/projection.ts';
import { SluiceError } from '../../../engine/errors.ts';
import { framed } from './debezium.ts';

const schema = JSON.stringify({ type: 'record', name: 'R', fields: [{ name: 'x', type: 'int' }] });
const shape = record({ x: { from: 'x', read: 'number' } });
const value = (id: number) => framed(id, Buffer.from([2]));

function counting(schemas: Map<number, string>): SchemaSource & { readonly asked: number[] } {
  const asked: number[] = [];
  return {
    asked,
    async schemaById(id) {
      asked.push(id);
      return schemas.get(id) ?? null;
    },
  };
}

const clock = { now: 0 };

function decoder(source: SchemaSource): FramedDecoder<{ readonly x: number }> {
  clock.now = 0;
  return new FramedDecoder({ source, compile: (writer) => compileReader(writer, shape), now: () => clock.now });
}

const coded = (code: string) => expect.objectContaining({ code });

describe('FramedDecoder', { timeout: 60_000 }, () => {
  it('asks once for each schema, and reads records of several', async () => {
    const wider = JSON.stringify({
      type: 'record',
      name: 'R',
      fields: [
        { name: 'y', type: 'int' },
        { name: 'x', type: 'int' },
      ],
    });
    const source = counting(
      new Map([
        [1, schema],
        [2, wider],
      ]),
    );
    const one = decoder(source);
    const values = [value(1), framed(2, Buffer.from([4, 6])), null, value(1)];
    await one.prepare(values);
    await one.prepare(values);
    expect(source.asked).toEqual([1, 2]);
    expect([values[0], values[1], values[3]].map((bytes) => one.decode(bytes as Buffer).x)).toEqual([1, 3, 1]);
  });

  it('refuses what is not framed, without asking', async () => {
    const source = counting(new Map());
    const one = decoder(source);
    const bad = [Buffer.from([0, 0, 0]), Buffer.from('text, not Avro')];
    await one.prepare(bad);
    expect(source.asked).toEqual([]);
    for (const bytes of bad) expect(() => one.decode(bytes)).toThrow(coded('UNDECODABLE'));
  });

  it.each([
    ['is not registered', undefined],
    ['is no JSON', '{"type"'],
    ['is no schema', '{"type":"nonsense"}'],
    ['is null', 'null'],
  ])('calls a schema that %s UNKNOWN_SCHEMA', async (_, text) => {
    const one = decoder(counting(new Map(text === undefined ? [] : [[3, text]])));
    await one.prepare([value(3)]);
    expect(() => one.decode(value(3))).toThrow(coded('UNKNOWN_SCHEMA'));
  });

  it('asks for an unknown schema again after a while, and then reads its records', async () => {
    const schemas = new Map<number, string>();
    const source = counting(schemas);
    const one = decoder(source);
    await one.prepare([value(3)]);
    schemas.set(3, schema);
    await one.prepare([value(3)]);
    expect(source.asked).toEqual([3]);
    clock.now = 60_000;
    await one.prepare([value(3)]);
    expect(one.decode(value(3))).toEqual({ x: 1 });
  });

  it('remembers a bounded number of unknown schemas', async () => {
    const source = counting(new Map([[1, schema]]));
    const one = decoder(source);
    await one.prepare([value(1), ...Array.from({ length: 2_500 }, (_, index) => value(index + 10))]);
    expect(source.asked).toHaveLength(2_501);
    // The first are forgotten, and asked for again; a good one never is.
    await one.prepare([value(10), value(1)]);
    expect(source.asked).toHaveLength(2_502);
  });

  it('passes on that the registry cannot tell, and remembers nothing of it', async () => {
    let broken = true;
    const source: SchemaSource = {
      async schemaById() {
        if (broken) throw new SluiceError('down', { code: 'REGISTRY_UNREACHABLE', action: 'retry' });
        return schema;
      },
    };
    const one = decoder(source);
    await expect(one.prepare([value(1)])).rejects.toThrow(coded('REGISTRY_UNREACHABLE'));
    expect(() => one.decode(value(1))).toThrow(coded('SCHEMA_NOT_PREPARED'));
    broken = false;
    await one.prepare([value(1)]);
    expect(one.decode(value(1))).toEqual({ x: 1 });
  });
});

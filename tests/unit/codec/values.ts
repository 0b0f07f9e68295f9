/** Random values of a schema of ours, and the same values as avsc has them. */
import fc from 'fast-check';
import { resolveSchema, type SchemaNode, simpleName } from '../../../engine/avro/resolve.ts';
import type { AvroSchema } from '../../../engine/avro/schema.ts';

const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 100 }), fc.uuid(), fc.constantFrom('play', '1h', 'äöü'));

function arbitrary(node: SchemaNode): fc.Arbitrary<unknown> {
  switch (node.type) {
    case 'boolean':
      return fc.boolean();
    case 'double':
      return fc.double({ noNaN: true });
    case 'array':
      return fc.array(arbitrary(node.items), { maxLength: 4 });
    case 'int':
      return fc.integer();
    case 'long':
      return node.bigint ? fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) : fc.maxSafeInteger();
    case 'string':
      return text;
    case 'enum':
      return fc.constantFrom(...node.symbols);
    case 'record':
      return fc.record(Object.fromEntries(node.fields.map((field) => [field.name, arbitrary(field.node)])));
    case 'union':
      return unionValue(node.branches);
    default:
      throw new Error(`${node.type} is not used in our schemas`);
  }
}

function unionValue(branches: readonly SchemaNode[]): fc.Arbitrary<unknown> {
  const values = branches.filter((branch) => branch.type !== 'null');
  if (values.length === 1) return fc.option(arbitrary(values[0]!));
  const records = values.map((branch) =>
    arbitrary(branch).map((value) => ({
      kind: branch.type === 'record' ? simpleName(branch.name) : '',
      ...(value as object),
    })),
  );
  return fc.oneof(...records);
}

/** Values of a schema in the form that `FromAvro` types. */
export function valuesOf<T>(schema: AvroSchema): fc.Arbitrary<T> {
  return arbitrary(resolveSchema(schema)) as fc.Arbitrary<T>;
}

function branchName(node: SchemaNode): string {
  return 'name' in node ? node.name : node.type;
}

function convert(node: SchemaNode, value: unknown): unknown {
  switch (node.type) {
    case 'long':
      return BigInt(value as number | bigint);
    case 'record': {
      const given = value as Readonly<Record<string, unknown>>;
      return Object.fromEntries(node.fields.map((field) => [field.name, convert(field.node, given[field.name])]));
    }
    case 'array':
      return (value as unknown[]).map((item) => convert(node.items, item));
    case 'union': {
      if (value === null) return null;
      const values = node.branches.filter((branch) => branch.type !== 'null');
      const kind = (value as { kind?: string }).kind;
      const branch = values.length === 1 ? values[0]! : values.find((one) => simpleName(branchName(one)) === kind)!;
      return { [branchName(branch)]: convert(branch, value) };
    }
    default:
      return value;
  }
}

/** The same value in avsc's form: all longs bigints, unions wrapped. */
export function toAvsc(schema: AvroSchema, value: unknown): unknown {
  return convert(resolveSchema(schema), value);
}

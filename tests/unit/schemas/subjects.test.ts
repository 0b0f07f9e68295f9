import avsc from 'avsc';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { wholeRecord } from '../../../engine/avro/projection.ts';
import { resolveSchema, type SchemaNode } from '../../../engine/avro/resolve.ts';
import type { AvroField } from '../../../engine/avro/schema.ts';
import { allTopics } from '../../../pipelines/topics.ts';
import type { Change } from '../../../schemas/engagement/change.ts';
import type { EngagementEvent } from '../../../schemas/engagement/event.ts';
import type { LeaderboardRecord } from '../../../schemas/engagement/leaderboard-record.ts';
import { SUBJECTS, type Subject, schemaText } from '../../../schemas/subjects.ts';

const subjects: readonly Subject[] = Object.values(SUBJECTS);

/** Every record and field below a schema, by path. */
function documented(schema: unknown, path: string): [string, unknown][] {
  if (Array.isArray(schema)) return schema.flatMap((branch) => documented(branch, path));
  if (typeof schema !== 'object' || schema === null) return [];
  const { type, doc, fields, name } = schema as { type: unknown; doc?: string; name?: string; fields?: AvroField[] };
  if (type !== 'record') return documented(type, path);
  const inner = fields!.flatMap((field): [string, unknown][] => [
    [`${path}/${name}.${field.name}`, field.doc],
    ...documented(field.type, `${path}/${name}.${field.name}`),
  ]);
  return [[`${path}/${name}`, doc], ...inner];
}

function readable(node: SchemaNode): unknown {
  return wholeRecord(node);
}

describe.each(subjects.map((subject) => [subject.name, subject] as const))('subject %s', (name, subject) => {
  it('is valid Avro by itself', () => {
    expect(() => avsc.Type.forSchema(JSON.parse(schemaText(subject.schema)))).not.toThrow();
    expect(() => readable(resolveSchema(subject.schema))).not.toThrow();
  });

  it('documents every record and field', () => {
    const missing = documented(subject.schema, '').filter(([, doc]) => typeof doc !== 'string' || doc.length < 10);
    expect(missing).toEqual([]);
  });

  it('belongs to a topic', () => {
    const topics = allTopics(4).map((topic) => topic.name);
    expect(topics).toContain(name.replace(/-(key|value)$/, ''));
  });

  it('gives a nullable field the default null, so that it can come and go', () => {
    const fields = subject.schema.fields.filter((field) => Array.isArray(field.type) && field.type[0] === 'null');
    expect(fields.filter((field) => field.default !== null)).toEqual([]);
  });
});

describe('the public contract', () => {
  it('may only change in ways that every reader survives', () => {
    const free = subjects.filter(
      ({ name, compatibility }) => /\.v\d+-/.test(name) !== (compatibility === 'FULL_TRANSITIVE'),
    );
    expect(free).toEqual([]);
  });

  it('ends with the source position, which is no part of the contribution', () => {
    expect(SUBJECTS.event.schema.fields.slice(-2).map(({ name }) => name)).toEqual(['source_lsn', 'source_commit_ts']);
  });
});

describe('FromAvro', () => {
  it('types values by their schema', () => {
    expectTypeOf<EngagementEvent['event_id']>().toEqualTypeOf<bigint>();
    expectTypeOf<EngagementEvent['event_ts']>().toEqualTypeOf<number>();
    expectTypeOf<EngagementEvent['duration_ms']>().toEqualTypeOf<number | null>();
    expectTypeOf<Change['kind']>().toEqualTypeOf<'insert' | 'update' | 'delete' | 'correct' | 'mark'>();
    expectTypeOf<Change['before']>().toEqualTypeOf<EngagementEvent | null>();
    expectTypeOf<Change['after']>().toEqualTypeOf<EngagementEvent | null>();
    expectTypeOf<LeaderboardRecord['body']['kind']>().toEqualTypeOf<'LeaderboardEntry' | 'LeaderboardAsOf'>();
  });
});

import { execFile } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import confluent from '@kafkajs/confluent-schema-registry';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RegistryClient } from '../../../connectors/registry/client.ts';
import { ByteWriter } from '../../../engine/avro/byte-writer.ts';
import { startStack } from '../../../infra/native/stack.ts';
import { encodeKey, keyDecoder } from '../../../pipelines/engagement/codec/key.ts';
import { SUBJECTS, schemaText } from '../../../schemas/subjects.ts';
import { deploy } from '../../../scripts/start/deploy.ts';
import { runScript } from '../../../scripts/start/task.ts';
import { changeV1, eventV1 } from '../../support/event-v1.ts';
import { freePortBase } from '../../support/ports.ts';

interface Field {
  readonly name: string;
  readonly type: unknown;
  readonly default?: unknown;
}

const schema = (...fields: Field[]) => JSON.stringify({ type: 'record', name: 'R', namespace: 'test', fields });
const x: Field = { name: 'x', type: 'long' };
const note: Field = { name: 'note', type: ['null', 'string'], default: null };
const required: Field = { name: 'y', type: 'string' };

/** A registry of its own: these tests break its subjects. */
let stack: Awaited<ReturnType<typeof startStack>>;
let url: string;
let client: RegistryClient;

beforeAll(async () => {
  const home = mkdtempSync(join(tmpdir(), 'sluice-schemas-'));
  stack = await startStack({ home, portBase: await freePortBase(), services: ['registry'] });
  url = stack.env.SLUICE_REGISTRY_URL!;
  client = new RegistryClient({ url });
}, 120_000);

afterAll(async () => await stack.stop({ remove: true }));

const coded = (code: string, action: string) => expect.objectContaining({ code, action });

describe('RegistryClient', () => {
  it('registers a schema once, under its rule', async () => {
    const spec = { name: 'once-value', text: schema(x), compatibility: 'FULL_TRANSITIVE' };
    expect(await client.check(spec)).toEqual({ kind: 'new' });
    const first = await client.register(spec);
    expect(first).toMatchObject({ version: 1, created: true, replacedCompatibility: 'none of its own' });
    expect(await client.register(spec)).toEqual({ ...first, created: false, replacedCompatibility: null });
    expect(await client.check(spec)).toEqual({ kind: 'registered', id: first.id, version: 1 });
    expect(await client.compatibilityOf(spec.name)).toBe('FULL_TRANSITIVE');
    expect(await client.subjects()).toContain(spec.name);
  });

  it('takes a compatible change as the next version and refuses an incompatible one with the reason', async () => {
    const spec = (text: string) => ({ name: 'changes-value', text, compatibility: 'FULL_TRANSITIVE' });
    await client.register(spec(schema(x)));
    const wider = spec(schema(x, note));
    expect(await client.check(wider)).toEqual({ kind: 'compatible' });
    expect(await client.register(wider)).toMatchObject({ version: 2, created: true });
    const broken = spec(schema(x, note, required));
    const found = await client.check(broken);
    expect(found).toMatchObject({ kind: 'incompatible', reason: expect.stringContaining('y at /fields/2') });
    await expect(client.register(broken)).rejects.toThrow(coded('SCHEMA_INCOMPATIBLE', 'fatal'));
    await expect(client.register(broken)).rejects.toThrow('y at /fields/2');
    expect(await client.latest('changes-value')).toMatchObject({ version: 2, text: wider.text });
  });

  it('judges a transitive rule by every version, not only the newest', async () => {
    const spec = (text: string) => ({ name: 'transitive-value', text, compatibility: 'FULL_TRANSITIVE' });
    const asString: Field = { name: 'note', type: ['null', 'string'], default: null };
    const asLong: Field = { name: 'note', type: ['null', 'long'], default: null };
    await client.register(spec(schema(x, asString)));
    await client.register(spec(schema(x)));
    // Each follows the version before it; the third does not go with the first.
    await expect(client.register(spec(schema(x, asLong)))).rejects.toThrow(coded('SCHEMA_INCOMPATIBLE', 'fatal'));
  });

  it('lets a backward rule drop a field that a full one must keep', async () => {
    const backward = (text: string) => ({ name: 'backward-value', text, compatibility: 'BACKWARD' });
    await client.register(backward(schema(x, required)));
    expect(await client.register(backward(schema(x)))).toMatchObject({ version: 2 });
    const full = (text: string) => ({ name: 'full-value', text, compatibility: 'FULL_TRANSITIVE' });
    await client.register(full(schema(x, required)));
    await expect(client.register(full(schema(x)))).rejects.toThrow(coded('SCHEMA_INCOMPATIBLE', 'fatal'));
  });

  it('notices a rule that was changed behind its back, and puts it right', async () => {
    const spec = { name: 'rule-value', text: schema(x), compatibility: 'BACKWARD' };
    await client.register(spec);
    const stricter = { ...spec, compatibility: 'FULL_TRANSITIVE' };
    expect(await client.check(stricter)).toEqual({ kind: 'rule-differs', configured: 'BACKWARD' });
    expect(await client.register(stricter)).toMatchObject({ created: false, replacedCompatibility: 'BACKWARD' });
    expect(await client.check(stricter)).toMatchObject({ kind: 'registered' });
  });

  it('finds the id of exactly a schema, and says what to do when it is not there', async () => {
    const spec = { name: 'ids-value', text: schema(x), compatibility: 'BACKWARD' };
    await expect(client.idOf(spec)).rejects.toThrow('run npm run schemas -- register');
    const { id } = await client.register(spec);
    expect(await client.idOf(spec)).toBe(id);
    await expect(client.idOf({ ...spec, text: schema(x, note) })).rejects.toThrow(
      coded('SCHEMA_NOT_REGISTERED', 'fatal'),
    );
    expect(await new RegistryClient({ url }).schemaById(id)).toBe(spec.text);
    expect(await client.schemaById(999_999)).toBeNull();
  });

  it('refuses what is no schema', async () => {
    const spec = { name: 'bad-value', text: '{"type":"record","name":"R"}', compatibility: 'BACKWARD' };
    await expect(client.register(spec)).rejects.toThrow(coded('SCHEMA_INVALID', 'fatal'));
  });

  it('says that the address is wrong', async () => {
    const lost = new RegistryClient({ url: url.replace('/apis/ccompat/v7', '/nowhere') });
    await expect(lost.subjects()).rejects.toThrow(coded('REGISTRY_WRONG_URL', 'fatal'));
  });

  it('gives up on a registry that does not answer, or is not there', async () => {
    let requests = 0;
    const silent = createServer(() => requests++);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    const patient = new RegistryClient({ url: `http://127.0.0.1:${port}`, attempts: 2, timeoutMs: 200 });
    await expect(patient.schemaById(1)).rejects.toThrow(coded('REGISTRY_TIMED_OUT', 'retry'));
    expect(requests).toBe(2);
    silent.closeAllConnections();
    await new Promise((resolve) => silent.close(resolve));
    await expect(patient.schemaById(1)).rejects.toThrow(coded('REGISTRY_UNREACHABLE', 'retry'));
  });
});

/** What may not happen to what others read. */
const BREAKS: readonly (readonly [what: string, breaks: (fields: readonly Field[]) => readonly Field[]])[] = [
  ['drops a field without a default', (fields) => fields.filter(({ name }) => name !== 'user_id')],
  ['adds a field without a default', (fields) => [...fields, { name: 'region', type: 'string' }]],
  ['renames a field', (fields) => changed(fields, 'user_id', { name: 'person_id' })],
  ['gives a field another type', (fields) => changed(fields, 'event_type', { type: 'int' })],
  ['widens a field', (fields) => changed(fields, 'duration_ms', { type: ['null', 'long'] })],
  ['narrows a field', (fields) => changed(fields, 'engagement_pct_bp', { type: ['null', 'int'] })],
  ['lets a field be null', (fields) => changed(fields, 'content_slug', { type: ['null', 'string'] })],
  ['asks for what may be null', (fields) => changed(fields, 'device', { type: 'string', default: undefined })],
];

function changed(fields: readonly Field[], name: string, to: Partial<Field>): readonly Field[] {
  return fields.map((field) => (field.name === name ? { ...field, ...to } : field));
}

describe('the public contract', () => {
  const { schema, compatibility } = SUBJECTS.event;
  const name = 'contract-value';
  const spec = (fields: readonly Field[]) => ({ name, text: JSON.stringify({ ...schema, fields }), compatibility });

  it.each(BREAKS)('is refused when a version %s', async (_, breaks) => {
    await client.register(spec(schema.fields));
    const broken = spec(breaks(schema.fields));
    expect(await client.check(broken)).toMatchObject({ kind: 'incompatible' });
    await expect(client.register(broken)).rejects.toThrow(coded('SCHEMA_INCOMPATIBLE', 'fatal'));
    expect((await client.latest(name))?.text).toBe(schemaText(schema));
  });

  it('follows its first version, and is found behind it', async () => {
    const first = { name: 'upgraded-value', text: JSON.stringify(eventV1), compatibility };
    const second = { ...first, text: schemaText(schema) };
    await client.register(first);
    expect(await client.check(second)).toEqual({ kind: 'compatible' });
    const { id } = await client.register(second);
    expect(await client.versionIds(first.name)).toEqual([await client.idOf(first), id]);
    expect(await client.versionIds('nothing-value')).toEqual([]);
    // The log of changes holds both versions too.
    const change = { name: 'upgraded-changes-value', text: JSON.stringify(changeV1), compatibility: 'BACKWARD' };
    await client.register(change);
    expect(await client.check({ ...change, text: schemaText(SUBJECTS.change.schema) })).toEqual({ kind: 'compatible' });
  });
});

/** Runs the script as an operator does. */
function schemas(
  ...args: string[]
): Promise<{ readonly status: number; readonly stdout: string; readonly stderr: string }> {
  return new Promise((resolve) => {
    const options = { env: { ...process.env, SLUICE_REGISTRY_URL: url }, timeout: 60_000 };
    const child = execFile(process.execPath, ['scripts/schemas.ts', ...args], options, (_, stdout, stderr) =>
      resolve({ status: child.exitCode ?? -1, stdout, stderr }),
    );
  });
}

describe('npm run schemas', () => {
  it('registers every subject, and nothing the second time', async () => {
    expect(await schemas('check')).toMatchObject({ status: 0, stdout: expect.not.stringMatching(/^registered/m) });
    const first = await schemas('register');
    expect(first.status).toBe(0);
    expect(first.stdout.match(/^registered/gm)).toHaveLength(Object.keys(SUBJECTS).length);
    const second = await schemas('register');
    expect(second.stdout.match(/^unchanged/gm)).toHaveLength(Object.keys(SUBJECTS).length);
    expect((await schemas('check')).stdout.match(/^registered/gm)).toHaveLength(Object.keys(SUBJECTS).length);
    expect((await schemas('list')).stdout).toMatch(
      /^engagement\.events\.v1-value {2}version 1, id \d+, FULL_TRANSITIVE$/m,
    );
  });

  it('is read by another client, framed with the id it gave', async () => {
    await schemas('register');
    const { name, schema } = SUBJECTS.eventKey;
    const id = await client.idOf({ name, text: schemaText(schema) });
    const bytes = Buffer.from(encodeKey(new ByteWriter(), id, 'c1', 77n));
    const other = new confluent.SchemaRegistry({ host: url });
    expect(await other.decode(bytes)).toEqual({ content_id: 'c1', event_id: 77 });
    const decoder = keyDecoder(client);
    await decoder.prepare([bytes]);
    expect(decoder.decode(bytes)).toEqual({ content_id: 'c1', event_id: 77n });
  });

  it('exits with 2 when it could not tell', async () => {
    expect(await schemas('print', 'nothing')).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('No subject nothing'),
    });
  });

  it('prints a schema as Avro JSON', async () => {
    const { stdout } = await schemas('print', SUBJECTS.change.name);
    expect(JSON.parse(stdout)).toEqual(SUBJECTS.change.schema);
  });

  it('keeps a worker from starting that writes what is not registered', async () => {
    await fetch(`${url}/subjects/${SUBJECTS.change.name}`, { method: 'DELETE' });
    const env = { ...process.env, SLUICE_REGISTRY_URL: url };
    const { code, output } = await runScript('worker.ts', ['engagement.enrich'], { env, timeoutMs: 60_000 });
    expect(code).not.toBe(0);
    expect(output).toContain(
      `The schema of ${SUBJECTS.change.name} is not registered: run npm run schemas -- register`,
    );
  });

  it('exits with 1 and the reason when a schema may not follow the registered one, and registers the others', async () => {
    const { name, schema, compatibility } = SUBJECTS.leaderboard;
    await schemas('register');
    await fetch(`${url}/subjects/${name}`, { method: 'DELETE' });
    const fields = schema.fields.map((field) => (field.name === 'window' ? { ...field, type: 'boolean' } : field));
    await client.register({ name, text: JSON.stringify({ ...schema, fields }), compatibility });
    const refused = (word: string) => expect.stringMatching(new RegExp(`^${word} +${name} .*/fields/0`, 'm'));
    expect(await schemas('check')).toMatchObject({ status: 1, stdout: refused('INCOMPATIBLE') });
    const registered = await schemas('register');
    expect(registered).toMatchObject({ status: 1, stdout: refused('REFUSED') });
    expect(registered.stdout.match(/^unchanged/gm)).toHaveLength(Object.keys(SUBJECTS).length - 1);
    // A deployment ends there, before it has changed anything: there is no Postgres that it could have asked.
    const env = {
      ...process.env,
      SLUICE_REGISTRY_URL: url,
      SLUICE_POSTGRES_URL: 'postgres://nobody@127.0.0.1:1/nothing',
    };
    const deployed = deploy({ env, signal: AbortSignal.timeout(60_000), say: () => {}, warn: () => {} });
    await expect(deployed).rejects.toThrow(/schemas\.ts check failed \(exit code 1\):[\s\S]*INCOMPATIBLE/);
  });
});

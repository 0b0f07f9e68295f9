import { execFile } from 'node:child_process';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jarsFolder } from '../../../infra/native/jars.ts';
import { type Stack, startStack } from '../../../infra/native/stack.ts';
import { provideJava } from '../../../infra/native/tools.ts';
import { freePortBase } from '../../support/ports.ts';

const run = promisify(execFile);

let stack: Stack;
/** What `ConverterCheck` found, by case. */
let found: ReadonlyMap<string, unknown>;

beforeAll(async () => {
  const home = await mkdtemp(join(tmpdir(), 'sluice-converter-'));
  stack = await startStack({ home, portBase: await freePortBase(), services: ['registry'] });
  const java = await provideJava(() => undefined);
  const jars = jarsFolder();
  const classes = [
    join(jars, 'build/converter/test-classes'),
    join(jars, 'plugins/converter/*'),
    join(jars, 'kafka/*'),
  ];
  const registry = `http://127.0.0.1:${stack.ports.registry}/apis/registry/v2`;
  const args = ['-cp', classes.join(':'), 'sluice.connect.ConverterCheck', registry, '42'];
  const { stdout } = await run(java, args, { timeout: 120_000 });
  found = new Map(
    stdout
      .trim()
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf(' ')), JSON.parse(line.slice(line.indexOf(' ')))]),
  );
}, 240_000);
afterAll(() => stack?.stop({ remove: true }), 60_000);

describe('the caching converter', () => {
  it('writes the bytes of the stock converter and asks it once', () => {
    expect(found.get('rows')).toEqual({ records: 5_000, different: 0, asked: 1, schemas: 1 });
  });

  it('registers the schema of an altered table', () => {
    expect(found.get('altered')).toEqual({ records: 2_000, different: 0, asked: 2, schemas: 2 });
  });

  it('leaves the types that it does not know to the stock converter', () => {
    expect(found.get('stock')).toEqual({ records: 100, different: 0, asked: 100, schemas: 1 });
  });

  it('asks again after the check period', () => {
    expect(found.get('expired')).toEqual({ records: 100, different: 0, asked: 100, schemas: 1 });
  });

  it('fails rather than write something else', () => {
    expect(found.get('refuses')).toEqual({ missing: true, mismatched: true, different: true });
  });
});

import { afterAll, beforeAll, expect, it } from 'vitest';
import { exclusively } from '../../../pipelines/operations/exclusive.ts';
import { startPostgres, type TestPostgres } from '../postgres/server.ts';

let server: TestPostgres;
let url: string;

beforeAll(async () => {
  server = await startPostgres();
  url = await server.createDatabase('exclusive');
});
afterAll(async () => await server?.stop());

it('refuses a second one of the same name, and only that', async () => {
  const second = async (name: string) => await exclusively({ url, name }, async () => 'ran');
  await exclusively({ url, name: 'repair' }, async () => {
    await expect(second('repair')).rejects.toMatchObject({ code: 'OPERATION_RUNNING', action: 'fatal' });
    expect(await second('backfill')).toBe('ran');
  });
  expect(await second('repair')).toBe('ran');
});

it('gives the lock up when the work throws', async () => {
  const failing = exclusively({ url, name: 'repair' }, async () => {
    throw new Error('no');
  });
  await expect(failing).rejects.toThrow();
  expect(await exclusively({ url, name: 'repair' }, async () => 'ran')).toBe('ran');
});

import { afterAll, beforeAll, expect, it } from 'vitest';
import { readRecord } from '../../../infra/native/record.ts';
import { StartHome } from '../../support/npm-start.ts';

const WAIT = { timeout: 90_000, interval: 50 };

let place: StartHome;
beforeAll(async () => {
  place = await StartHome.make();
});
afterAll(async () => {
  await place.remove();
});

it('npm start is refused while one runs, shows how a killed server comes back, and leaves nothing on SIGTERM', async () => {
  const run = place.start();
  await expect.poll(() => run.stdout, WAIT).toMatch(/^redis: up$/m);
  const pid = readRecord(place.home)?.services.find(({ service }) => service === 'redis')?.pid;
  process.kill(pid!, 'SIGKILL');
  await expect.poll(() => run.stdout, WAIT).toMatch(/^redis: backoff \(ended by SIGKILL\)\n(.*\n)*redis: up$/m);

  const second = place.start('--json');
  await second.closed;
  expect(second.code).toBe(1);
  expect(second.stderr).toMatch(/^A stack in this folder is already running \(process \d+\)\.\n {2}→ Stop it first/m);
  expect(second.stderr).not.toMatch(/^\s+at .+:\d+:\d+/m);

  // It may still be coming up: that makes no difference.
  expect(run.code).toBeNull();
  await run.end();
  expect(run.stdout).toContain('Stopping …');
  expect(run.stdout).toMatch(/^Stopped\.$/m);
  expect(await place.left()).toEqual({ processes: [], locks: [], ports: [] });
});

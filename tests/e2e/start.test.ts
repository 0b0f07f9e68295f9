/** `npm start -- --for … --json`, as a script runs it: all of Sluice comes up, is healthy and equal, says so and leaves nothing. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Summary } from '../../scripts/start/finish.ts';
import { StartHome } from '../support/npm-start.ts';

let place: StartHome;
beforeAll(async () => {
  place = await StartHome.make();
});
afterAll(async () => {
  await place.remove();
});

it('runs for a time, compares everything, ends with one line of JSON and leaves nothing', async () => {
  const run = place.start('--for', '15s', '--json');
  await run.closed;
  const last = run.stdout.trim().split('\n').at(-1) ?? '';
  expect(last, run.stderr).toMatch(/^\{.*\}$/);
  const summary = JSON.parse(last) as Summary;
  expect(summary, run.stderr).toMatchObject({ ok: true, healthy: true, reconcile: 'equal', problems: [] });
  expect(summary.seconds).toBeGreaterThanOrEqual(15);
  expect(Object.keys(summary.processes)).toEqual(
    expect.arrayContaining(['postgres', 'kafka', 'registry', 'connect', 'redis', 'clickhouse', 'engagement.enrich']),
  );
  expect(summary.pipelines.engagement).toMatchObject({ reconcile: 'equal' });
  expect(summary.pipelines.engagement?.top.length).toBeGreaterThan(0);
  expect(run.code).toBe(0);
  expect(await place.left()).toEqual({ processes: [], locks: [], ports: [] });
});

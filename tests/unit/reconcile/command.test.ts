/** The command's exit status when there is nothing to compare: never the one that means "different". */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../../../scripts/reconcile.ts', import.meta.url));

function run(...args: readonly string[]) {
  const env = {
    ...process.env,
    SLUICE_POSTGRES_URL: 'postgres://nobody:x@127.0.0.1:1/sluice',
    SLUICE_KAFKA_BROKERS: '127.0.0.1:1',
    SLUICE_REDIS_URL: 'redis://127.0.0.1:1',
  };
  const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT, ...args], {
    env,
    encoding: 'utf8',
    timeout: 25_000,
  });
  return { status, stdout, stderr };
}

it.each([
  { args: ['--window', '5x'], says: '5x' },
  { args: ['--since', 'yesterday'], says: '--since yesterday' },
  { args: ['--limit', '-3'], says: '--limit -3' },
  { args: ['--unheard-of'], says: '--unheard-of' },
])('refuses $args with 2', ({ args, says }) => {
  const { status, stderr } = run(...args);
  expect(status).toBe(2);
  expect(stderr).toContain(says);
});

it('ends with 2 and says so as JSON when Postgres is away', () => {
  const { status, stdout } = run('--json');
  expect(status).toBe(2);
  const report: unknown = JSON.parse(stdout.trim().split('\n').at(-1)!);
  expect(report).toMatchObject({ result: 'unknown', position: null, sinks: { postgres: { result: 'unknown' } } });
});

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { layoutOf } from '../../../infra/native/layout.ts';
import { processStart } from '../../../infra/native/lock.ts';
import { checkDisk, checkPorts, endLeftovers } from '../../../infra/native/preflight.ts';
import { holderOf, writeRecord } from '../../../infra/native/record.ts';
import { redis } from '../../../infra/native/redis.ts';

let home: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'sluice-preflight-'));
});
afterEach(() => rmSync(home, { recursive: true }));

function listen(): Promise<{ server: Server; port: number }> {
  return new Promise((done) => {
    const server = createServer();
    server.listen(0, '127.0.0.1', () => done({ server, port: (server.address() as { port: number }).port }));
  });
}

it('names the taken port, its server and the way out', async () => {
  const { server, port } = await listen();
  const layout = layoutOf(home);
  const taken = { ...layout, ports: { ...layout.ports, redis: port } };
  await expect(checkPorts(taken, [redis])).rejects.toMatchObject({
    code: 'PORT_TAKEN',
    message: `Taken by another process: port ${port} (redis).`,
    wayOut: expect.stringContaining('SLUICE_PORT_BASE='),
  });
  await new Promise((done) => server.close(done));
  await expect(checkPorts(taken, [redis])).resolves.toBeUndefined();
});

it('refuses a disk that is nearly full, and says where else the data may go', () => {
  expect(() => checkDisk(home, Number.MAX_SAFE_INTEGER)).toThrow(
    expect.objectContaining({ code: 'DISK_FULL', wayOut: expect.stringContaining('SLUICE_HOME=') }),
  );
  expect(() => checkDisk(home, 1)).not.toThrow();
});

it('ends what a launcher left when its reaper was killed with it, and nothing that only has the same id', async () => {
  const left = spawn('/bin/sleep', ['600'], { detached: true, stdio: 'ignore' });
  const reused = spawn('/bin/sleep', ['600'], { detached: true, stdio: 'ignore' });
  const entry = (pid: number, started: string | null) => ({
    name: 'x',
    service: 'redis' as const,
    state: 'up' as const,
    pid,
    started,
    port: 1,
    restarts: 0,
    since: 0,
    detail: null,
  });
  const gone = { pid: 2 ** 30, started: '1' };
  writeRecord(home, {
    launcher: gone,
    reaper: gone,
    ready: true,
    services: [entry(left.pid!, holderOf(left.pid!)!.started), entry(reused.pid!, 'another start')],
  });
  await endLeftovers(home);
  expect(processStart(left.pid!)).toBeUndefined();
  expect(processStart(reused.pid!)).toBeDefined();
  reused.kill('SIGKILL');
});

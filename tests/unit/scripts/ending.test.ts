import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ENDING = fileURLToPath(new URL('../../../scripts/support/ending.ts', import.meta.url));

/** Runs a script that ends as all of ours do. */
function run(script: string) {
  const text = `import { endForCertain } from ${JSON.stringify(ENDING)}; endForCertain(); ${script}`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', text], {
    encoding: 'utf8',
    maxBuffer: 8 << 20,
    timeout: 20_000,
  });
  return { status, stdout, stderr };
}

describe('the end of a script', () => {
  it('keeps the exit code, however it is given', () => {
    expect(run('process.exit(130)').status).toBe(130);
    expect(run('process.exitCode = 2').status).toBe(2);
    expect(run('').status).toBe(0);
    expect(run("throw new Error('unexpected')")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('unexpected'),
    });
  });

  it('loses nothing of what was written to a pipe', () => {
    const { status, stdout } = run("process.stdout.write('x'.repeat(3_000_000))");
    expect({ status, length: stdout.length }).toEqual({ status: 0, length: 3_000_000 });
  });

  it('reaches listeners that came later', () => {
    expect(run("process.once('exit', (code) => console.log('restored', code)); process.exit(3)")).toMatchObject({
      status: 3,
      stdout: 'restored 3\n',
    });
  });

  it('waits for no thread of Node', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-ending-'));
    try {
      const fifo = join(folder, 'fifo');
      expect(spawnSync('sh', ['-c', 'mkfifo "$0"', fifo]).status).toBe(0);
      // A thread that opens it waits for a writer, and Node's own end for the thread.
      const opened = `const { open } = await import('node:fs'); open(${JSON.stringify(fifo)}, 'r', () => {});`;
      expect(run(`${opened} setTimeout(() => process.exit(4), 50)`).status).toBe(4);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { installHint, onPath, provideJava, provideTool, type Tool } from '../../../infra/native/tools.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-tools-'));
  mkdirSync(join(folder, 'bin'));
  vi.stubEnv('PATH', '');
  vi.stubEnv('JAVA_HOME', folder);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

const program = (name: string, output: string) => {
  const path = join(folder, 'bin', name);
  writeFileSync(path, `#!/bin/sh\necho '${output}'\n`);
  chmodSync(path, 0o755);
  return path;
};
const never = async () => false;
const quiet = () => undefined;

it.each<Tool>(['java', 'maven', 'prometheus', 'alertmanager'])(
  'knows how to install %s on Debian, Fedora and macOS',
  (tool) => {
    expect(installHint(tool)).toMatch(/apt-get install[\s\S]*dnf install[\s\S]*brew install/);
  },
);

describe('provideJava', () => {
  it.each([
    ['openjdk 17.0.15 2025-04-15', true],
    ['openjdk 21 2023-09-19', true],
    ['java 25.0.1 2025-10-21 LTS', true],
    ['openjdk 11.0.2 2019-01-15', false],
    ['no version at all', false],
  ])('judges "%s"', async (version, good) => {
    const java = program('java', version);
    if (good) await expect(provideJava(quiet, never)).resolves.toBe(java);
    else await expect(provideJava(quiet, never)).rejects.toMatchObject({ code: 'TOOL_TOO_OLD' });
  });

  it('says how to install it when there is none and it may not', async () => {
    await expect(provideJava(quiet, never)).rejects.toMatchObject({
      code: 'TOOL_MISSING',
      wayOut: installHint('java'),
    });
  });

  it('uses the one that it could install', async () => {
    const install = async (tool: Tool) => program(tool, 'openjdk 17.0.15 2025-04-15') !== '';
    await expect(provideJava(quiet, install)).resolves.toBe(join(folder, 'bin', 'java'));
  });
});

it('looks for Maven on the PATH', async () => {
  await expect(provideTool('maven', quiet, never)).rejects.toMatchObject({
    code: 'TOOL_MISSING',
    wayOut: installHint('maven'),
  });
  const maven = program('mvn', '');
  vi.stubEnv('PATH', `/nowhere:${join(folder, 'bin')}`);
  await expect(provideTool('maven', quiet, never)).resolves.toBe(maven);
});

it('finds Alertmanager by Debian’s name and by its own, and installs it where it may', async () => {
  vi.stubEnv('PATH', join(folder, 'bin'));
  const install = async () => program('alertmanager', '') !== '';
  await expect(provideTool('alertmanager', quiet, install)).resolves.toBe(join(folder, 'bin', 'alertmanager'));
  const debian = program('prometheus-alertmanager', '');
  await expect(provideTool('alertmanager', quiet, never)).resolves.toBe(debian);
});

it('skips what is not executable on the PATH', () => {
  const path = program('thing', '');
  chmodSync(path, 0o644);
  expect(onPath('thing', join(folder, 'bin'))).toBeUndefined();
});

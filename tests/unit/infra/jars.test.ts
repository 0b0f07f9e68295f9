import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { jarsAreReady, resolveJars } from '../../../infra/native/jars.ts';

let folder: string;
let jars: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-jars-'));
  jars = join(folder, 'jars');
  mkdirSync(join(folder, 'bin'));
  vi.stubEnv('SLUICE_JARS', jars);
  vi.stubEnv('PATH', `${join(folder, 'bin')}${delimiter}${process.env.PATH}`);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

/** A Maven that lays one file out and counts its runs, then ends with `code`. */
function maven(code: number): void {
  const path = join(folder, 'bin', 'mvn');
  const script = [
    '#!/bin/sh',
    `for a; do case $a in -Dsluice.jars=*) out="\${a#*=}" ;; esac; done`,
    `mkdir -p "$out/kafka" && echo jar > "$out/kafka/a.jar"`,
    `echo run >> ${join(folder, 'runs')}`,
    'echo "[ERROR] no such artifact"',
    `exit ${code}`,
  ];
  writeFileSync(path, script.join('\n'));
  chmodSync(path, 0o755);
}
const runs = () => readFileSync(join(folder, 'runs'), 'utf8').trim().split('\n').length;

it('lays the jars out once', async () => {
  maven(0);
  expect(jarsAreReady()).toBe(false);
  await expect(resolveJars()).resolves.toBe(jars);
  await resolveJars();
  expect(readFileSync(join(jars, 'kafka', 'a.jar'), 'utf8')).toBe('jar\n');
  expect(runs()).toBe(1);
});

it('lays them out again when the poms have changed, without the old ones', async () => {
  maven(0);
  await resolveJars();
  writeFileSync(join(jars, 'stamp'), 'of other poms');
  writeFileSync(join(jars, 'old.jar'), '');
  await resolveJars();
  expect(existsSync(join(jars, 'old.jar'))).toBe(false);
  expect(runs()).toBe(2);
});

it('leaves nothing half-done behind when Maven fails, and shows what it said', async () => {
  maven(1);
  await expect(resolveJars()).rejects.toMatchObject({
    code: 'JARS_UNRESOLVED',
    message: expect.stringContaining('no such artifact'),
  });
  expect(readdirSync(folder).sort()).toEqual(['bin', 'runs']);
});

/** A clone installs from the registry its machine is set to: no file of ours may name one. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../../..');

/** Hosts that packages are downloaded from, written so that this file does not name them. */
const HOSTS = [
  ['registry', 'npmjs', 'org'],
  ['registry', 'npmmirror', 'com'],
  ['registry', 'yarnpkg', 'com'],
  ['npm', 'pkg', 'github', 'com'],
  ['npm', 'jsr', 'io'],
  ['repo1', 'maven', 'org'],
  ['repo', 'maven', 'apache', 'org'],
  ['maven', 'pkg', 'github', 'com'],
  ['oss', 'sonatype', 'org'],
  ['packages', 'confluent', 'io'],
  ['plugins', 'gradle', 'org'],
  ['files', 'pythonhosted', 'org'],
  ['proxy', 'golang', 'org'],
  ['static', 'crates', 'io'],
].map((parts) => parts.join('.'));

/** Paths that only a package repository manager has. */
const PATHS = [['artifactory', 'api'].join('/'), ['nexus', 'repository'].join('/'), ['-', 'npm', 'v1'].join('/')];

const files = execFileSync('git', ['ls-files', '-z'], { cwd: ROOT, encoding: 'utf8' })
  .split('\0')
  .filter((file) => file !== '' && existsSync(join(ROOT, file)));

describe('the files of the project', () => {
  it('name no package registry', () => {
    expect(files.length).toBeGreaterThan(100);
    const found = files.flatMap((file) => {
      const text = readFileSync(join(ROOT, file), 'latin1').toLowerCase();
      return [...HOSTS, ...PATHS].filter((name) => text.includes(name)).map((name) => `${file}: ${name}`);
    });
    expect(found).toEqual([]);
  });

  it('lock every package by its checksum, without the address it came from', () => {
    const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { resolved?: string; integrity?: string; link?: boolean }>;
    };
    const packages = Object.entries(lock.packages).filter(([path, { link }]) => path !== '' && link !== true);
    expect(packages.length).toBeGreaterThan(100);
    expect(packages.filter(([, { resolved }]) => resolved !== undefined).map(([path]) => path)).toEqual([]);
    expect(packages.filter(([, { integrity }]) => integrity === undefined).map(([path]) => path)).toEqual([]);
  });

  it('set no registry of their own', () => {
    const settings = files.filter((file) => /(^|\/)(\.npmrc|\.yarnrc(\.yml)?|settings\.xml)$/.test(file));
    expect(settings).toContain('.npmrc');
    for (const file of settings)
      expect(readFileSync(join(ROOT, file), 'utf8'), file).not.toMatch(/registry\s*[=:]|<url>/i);
    const poms = files.filter((file) => file.endsWith('pom.xml'));
    expect(poms.length).toBeGreaterThan(0);
    for (const file of poms)
      expect(readFileSync(join(ROOT, file), 'utf8'), file).not.toMatch(/<(plugin)?repository>|<mirror>/i);
  });
});

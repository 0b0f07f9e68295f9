import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { describe as inWords } from '../../../infra/native/error.ts';
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

describe('apt-get', () => {
  const calls = () => (existsSync(join(folder, 'calls')) ? readFileSync(join(folder, 'calls'), 'utf8') : '');
  const script = (name: string, ...lines: readonly string[]) => {
    writeFileSync(join(folder, 'bin', name), ['#!/bin/sh', ...lines].join('\n'), { mode: 0o755 });
  };

  /** An apt-get that writes down how it was called, and installs what was laid out already. */
  function apt(offered: readonly string[], installs: string): void {
    const installed = join(folder, 'bin', installs);
    const note = `echo "$DEBIAN_FRONTEND apt-get $*" >> ${join(folder, 'calls')}`;
    script('apt-get', note, `case "$*" in *install*) /bin/chmod +x ${installed};; esac`);
    script('apt-cache', '[ "$*" = pkgnames ] || exit 9', ...offered.map((name) => `echo ${name}`));
  }

  beforeEach(() => {
    vi.stubEnv('PATH', join(folder, 'bin'));
    vi.spyOn(process, 'getuid').mockReturnValue(0);
  });
  afterEach(() => vi.restoreAllMocks());

  const ran = (...packages: readonly string[]) =>
    ['update', ...packages.map((name) => `install --no-install-recommends ${name}`)]
      .map((what) => `noninteractive apt-get -y -o DPkg::Lock::Timeout=300 ${what}\n`)
      .join('');

  it.each([
    [['openjdk-11-jre-headless', 'openjdk-17-jre-headless', 'openjdk-21-jre-headless'], 'openjdk-17-jre-headless'],
    [['openjdk-25-jre-headless', 'openjdk-21-jre-headless'], 'openjdk-21-jre-headless'],
    [[], 'openjdk-17-jre-headless'],
  ])('installs, of the Javas %j that the release offers, %s', async (offered, wanted) => {
    const java = program('java', 'openjdk 21.0.1 2023-10-17');
    chmodSync(java, 0o644);
    apt(offered, 'java');
    const said: string[] = [];
    await expect(provideJava((text) => said.push(text))).resolves.toBe(java);
    expect(calls()).toBe(ran(wanted));
    expect(said).toEqual(['Installing java with apt-get']);
  });

  it('installs Maven', async () => {
    const maven = program('mvn', '');
    chmodSync(maven, 0o644);
    apt(['maven'], 'mvn');
    await expect(provideTool('maven', quiet)).resolves.toBe(maven);
    expect(calls()).toBe(ran('maven'));
  });

  it('is not asked for what is there', async () => {
    apt([], 'java');
    const java = program('java', 'openjdk 17.0.15 2025-04-15');
    await expect(provideJava(quiet)).resolves.toBe(java);
    expect(calls()).toBe('');
  });

  it('says what it said when it fails, and what to do', async () => {
    script('apt-get', 'echo "E: no network" >&2', 'exit 100');
    await expect(provideTool('maven', quiet)).rejects.toMatchObject({
      code: 'INSTALL_FAILED',
      message: expect.stringMatching(/^apt-get could not install maven: [\s\S]*E: no network/),
      wayOut: installHint('maven'),
    });
  });

  it('leaves it to the user who is not root, with the command of each system', async () => {
    apt([], 'java');
    vi.spyOn(process, 'getuid').mockReturnValue(1_000);
    const message = async (tool: Promise<string>) => await tool.catch((error: unknown) => inWords(error));
    expect(await message(provideJava(quiet))).toBe(`Java is not installed.
  → Install it and run this again:
    Debian, Ubuntu: sudo apt-get install -y openjdk-17-jre-headless
    Fedora: sudo dnf install -y java-21-openjdk-headless
    macOS: brew install openjdk@17 && export JAVA_HOME="$(brew --prefix openjdk@17)"`);
    expect(await message(provideTool('maven', quiet))).toBe(`maven (mvn) is not installed.
  → Install it and run this again:
    Debian, Ubuntu: sudo apt-get install -y maven
    Fedora: sudo dnf install -y maven
    macOS: brew install maven`);
    expect(calls()).toBe('');
  });

  it('is not what every root has', async () => {
    await expect(provideJava(quiet)).rejects.toMatchObject({ code: 'TOOL_MISSING' });
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

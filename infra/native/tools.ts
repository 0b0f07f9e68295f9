/** The programs that the stack needs from the machine, and how to get each when it is not there. */
import { execFile, execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { StackError } from './error.ts';

const run = promisify(execFile);

export type Tool = 'java' | 'maven' | 'prometheus' | 'alertmanager';

const INSTALL: Readonly<Record<Tool, Readonly<Record<'Debian, Ubuntu' | 'Fedora' | 'macOS', string>>>> = {
  java: {
    'Debian, Ubuntu': 'sudo apt-get install -y openjdk-17-jre-headless',
    Fedora: 'sudo dnf install -y java-21-openjdk-headless',
    macOS: 'brew install openjdk@17 && export JAVA_HOME="$(brew --prefix openjdk@17)"',
  },
  maven: {
    'Debian, Ubuntu': 'sudo apt-get install -y maven',
    Fedora: 'sudo dnf install -y maven',
    macOS: 'brew install maven',
  },
  prometheus: {
    'Debian, Ubuntu': 'sudo apt-get install -y --no-install-recommends prometheus',
    Fedora: 'sudo dnf install -y golang-github-prometheus',
    macOS: 'brew install prometheus',
  },
  alertmanager: {
    'Debian, Ubuntu': 'sudo apt-get install -y --no-install-recommends prometheus-alertmanager',
    Fedora: 'sudo dnf install -y golang-github-prometheus-alertmanager',
    macOS: 'brew install alertmanager',
  },
};

/** The command that installs the tool, per system. */
export function installHint(tool: Tool): string {
  const lines = Object.entries(INSTALL[tool]).map(([system, command]) => `${system}: ${command}`);
  return `Install it and run this again:\n${lines.join('\n')}`;
}

/** The first executable of that name on the PATH. */
export function onPath(name: string, path = process.env.PATH ?? ''): string | undefined {
  for (const folder of path.split(delimiter)) {
    const candidate = join(folder, name);
    try {
      accessSync(candidate, constants.X_OK);
      return candidate;
    } catch {
      // Not here: look in the next folder.
    }
  }
  return undefined;
}

const OLDEST_JAVA = 17;

/** Debian's names, oldest first: which of them there are depends on the release. */
const DEBIAN_PACKAGES: Readonly<Record<Tool, readonly string[]>> = {
  java: ['openjdk-17-jre-headless', 'openjdk-21-jre-headless', 'openjdk-25-jre-headless'],
  maven: ['maven'],
  prometheus: ['prometheus'],
  alertmanager: ['prometheus-alertmanager'],
};

const APT_TIMEOUT_MS = 600_000;

/** Installs a tool; false when it may not. */
export type Install = (tool: Tool, say: (text: string) => void) => Promise<boolean>;

/** Installs the tool when we may: as root where there is an apt-get. Throws INSTALL_FAILED. */
async function aptInstall(tool: Tool, say: (text: string) => void): Promise<boolean> {
  if (process.getuid?.() !== 0 || onPath('apt-get') === undefined) return false;
  say(`Installing ${tool} with apt-get`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  // Another apt-get may be at work: wait for its lock instead of failing.
  const apt = (args: readonly string[]) =>
    run('apt-get', ['-y', '-o', 'DPkg::Lock::Timeout=300', ...args], {
      env,
      timeout: APT_TIMEOUT_MS,
      maxBuffer: 2 ** 26,
    });
  try {
    await apt(['update']);
    const offered = await run('apt-cache', ['pkgnames'], { maxBuffer: 2 ** 26 });
    const names = new Set(offered.stdout.split('\n'));
    const wanted = DEBIAN_PACKAGES[tool].find((name) => names.has(name)) ?? DEBIAN_PACKAGES[tool][0] ?? tool;
    await apt(['install', '--no-install-recommends', wanted]);
    return true;
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new StackError('INSTALL_FAILED', `apt-get could not install ${tool}: ${text}`, installHint(tool), cause);
  }
}

/** A Java of version 17 or newer: JAVA_HOME first, then the PATH, then apt-get's. Throws TOOL_MISSING or TOOL_TOO_OLD. */
export async function provideJava(say: (text: string) => void, install: Install = aptInstall): Promise<string> {
  const found = findJava();
  if (found.version >= OLDEST_JAVA || !(await install('java', say))) return checked(found);
  return checked(findJava());
}

/** By which names the command of a tool goes. */
const COMMANDS = {
  maven: ['mvn'],
  prometheus: ['prometheus'],
  alertmanager: ['prometheus-alertmanager', 'alertmanager'],
} as const;

/** The tool's command, from the PATH or apt-get's. Throws TOOL_MISSING. */
export async function provideTool(
  tool: keyof typeof COMMANDS,
  say: (text: string) => void,
  install: Install = aptInstall,
): Promise<string> {
  const names = COMMANDS[tool];
  const find = () => names.map((name) => onPath(name)).find((path) => path !== undefined);
  const found = find() ?? ((await install(tool, say)) ? find() : undefined);
  if (found !== undefined) return found;
  throw new StackError('TOOL_MISSING', `${tool} (${names.join(' or ')}) is not installed.`, installHint(tool));
}

interface Java {
  readonly command: string | undefined;
  readonly version: number;
}

function findJava(): Java {
  const home = process.env.JAVA_HOME;
  const command = (home === undefined ? undefined : onPath('java', join(home, 'bin'))) ?? onPath('java');
  return { command, version: command === undefined ? 0 : javaVersion(command) };
}

function checked({ command, version }: Java): string {
  if (command === undefined) throw new StackError('TOOL_MISSING', 'Java is not installed.', installHint('java'));
  if (version >= OLDEST_JAVA) return command;
  const what = version === 0 ? 'not a working Java' : `version ${version}`;
  const message = `Java ${OLDEST_JAVA} or newer is needed; ${command} is ${what}.`;
  throw new StackError('TOOL_TOO_OLD', message, installHint('java'));
}

/** The feature version of a Java (8, 17, 21, …); 0 when it does not run. */
function javaVersion(java: string): number {
  try {
    // Prints to standard output since Java 9; an older one fails on the option, and is too old anyway.
    const text = execFileSync(java, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    return Number(/^\S+ (\d+)/.exec(text)?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** The programs that the stack needs from the machine, and how to get each when it is not there. */
import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { StackError } from './error.ts';

export type Tool = 'java' | 'maven';

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

/** A Java of version 17 or newer: JAVA_HOME first, then the PATH. Throws TOOL_MISSING or TOOL_TOO_OLD. */
export function findJava(): string {
  const home = process.env.JAVA_HOME;
  const java = (home === undefined ? undefined : onPath('java', join(home, 'bin'))) ?? onPath('java');
  if (java === undefined) throw new StackError('TOOL_MISSING', 'Java is not installed.', installHint('java'));
  const version = javaVersion(java);
  if (version < OLDEST_JAVA) {
    const message = `Java ${OLDEST_JAVA} or newer is needed; ${java} is ${version === 0 ? 'not a working Java' : `version ${version}`}.`;
    throw new StackError('TOOL_TOO_OLD', message, installHint('java'));
  }
  return java;
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

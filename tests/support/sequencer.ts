/**
 * The order of the files on real servers. An end-to-end file takes ten times as long as an integration file and has a whole stack of its
 * own: begun one after the other among the integration files, hardly more than two stacks run at a time, and none is left for the end.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** After this part of the integration files all end-to-end files have begun. */
const ALL_BEGUN = 0.75;

export default class Interleaved extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const of = (folder: string) => sorted.filter((file) => file.moduleId.includes(`/tests/${folder}/`));
    const [wholes, parts] = [of('e2e').sort((a, b) => bytesOf(b.moduleId) - bytesOf(a.moduleId)), of('integration')];
    const others = sorted.filter((file) => !wholes.includes(file) && !parts.includes(file));
    const placed = [
      ...wholes.map((file, index) => ({ file, at: (index / wholes.length) * ALL_BEGUN })),
      ...parts.map((file, index) => ({ file, at: index / parts.length })),
    ];
    return [...others, ...placed.sort((a, b) => a.at - b.at).map(({ file }) => file)];
  }
}

/** Of a file and of the folder with its name, which has the tests of a file that only starts the servers: the largest takes longest. */
function bytesOf(file: string): number {
  const folder = file.replace(/\.test\.ts$/, '');
  const parts = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  return [file, ...parts].reduce((sum, path) => sum + statSync(path).size, 0);
}

/** Starts the servers that integration tests share: a broker and a registry on free ports, in a folder of their own. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { startStack } from '../../infra/native/stack.ts';
import { freePortBase } from './ports.ts';

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const home = mkdtempSync(join(tmpdir(), 'sluice-servers-'));
  const stack = await startStack({ home, portBase: await freePortBase(), services: ['kafka', 'registry'] });
  project.provide('stack', stack.env);
  return async () => await stack.stop({ remove: true });
}

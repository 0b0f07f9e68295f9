/**
 * Starts the servers that test files share, on free ports, in a folder of their own: a broker for the integration tests, and a registry for those and for
 * the end-to-end stacks. What they register is the same, and each of its own would be one more JVM.
 */
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

/** The layers, checked by dependency-cruiser; and that check, checked with planted imports. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../../..');
const TOOL = join(ROOT, 'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs');
const CONFIG = '.dependency-cruiser.cjs';

/** The folders that `npm run check` gives to the tool. */
function checkedFolders(): string[] {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: { check: string } };
  return /depcruise --config \.dependency-cruiser\.cjs ([\w ]+?) &&/.exec(scripts.check)![1]!.split(' ');
}

function cruise(cwd: string, folders: readonly string[]): { readonly status: number | null; readonly text: string } {
  const args = [TOOL, '--config', CONFIG, ...folders];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd, encoding: 'utf8', timeout: 60_000 });
  return { status, text: stdout + stderr };
}

/** File → what it imports. */
const PLANTS: Readonly<
  Record<string, { readonly rule: string; readonly files: Readonly<Record<string, readonly string[]>> }>
> = {
  'the engine imports a connector': {
    rule: 'engine-imports-nothing-of-ours',
    files: { 'engine/a.ts': ['../connectors/kafka/a.ts'], 'connectors/kafka/a.ts': [] },
  },
  'a connector imports a pipeline': {
    rule: 'connectors-import-engine-only',
    files: { 'connectors/kafka/a.ts': ['../../pipelines/p/a.ts'], 'pipelines/p/a.ts': [] },
  },
  'a connector imports another': {
    rule: 'connectors-do-not-import-each-other',
    files: { 'connectors/kafka/a.ts': ['../redis/a.ts'], 'connectors/redis/a.ts': [] },
  },
  'a pipeline imports a script': {
    rule: 'pipelines-do-not-import-scripts',
    files: { 'pipelines/p/a.ts': ['../../scripts/a.ts'], 'scripts/a.ts': [] },
  },
  'a pipeline imports another': {
    rule: 'pipelines-do-not-import-each-other',
    files: { 'pipelines/p/a.ts': ['../q/a.ts'], 'pipelines/q/a.ts': [] },
  },
  'reconcile imports the arithmetic it judges': {
    rule: 'reconcile-shares-no-arithmetic',
    files: { 'pipelines/engagement/reconcile/a.ts': ['../semantics.ts'], 'pipelines/engagement/semantics.ts': [] },
  },
  'the reconcile of prices imports the arithmetic it judges': {
    rule: 'prices-reconcile-shares-no-arithmetic',
    files: { 'pipelines/prices/reconcile/a.ts': ['../zone.ts'], 'pipelines/prices/zone.ts': [] },
  },
  'the servers import the engine': {
    rule: 'infra-stands-alone',
    files: { 'infra/a.ts': ['../engine/a.ts'], 'engine/a.ts': [] },
  },
  'a script imports a test': {
    rule: 'no-production-import-of-tests',
    files: { 'scripts/a.ts': ['../tests/a.ts'], 'tests/a.ts': [] },
  },
  'two files import each other': {
    rule: 'no-circular',
    files: { 'engine/a.ts': ['./b.ts'], 'engine/b.ts': ['./a.ts'] },
  },
  'a file imports what is not there': {
    rule: 'resolvable',
    files: { 'engine/a.ts': ['./gone.ts'] },
  },
};

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sluice-boundaries-'));
  for (const file of [CONFIG, 'tsconfig.json', 'package.json']) copyFileSync(join(ROOT, file), join(dir, file));
  for (const folder of checkedFolders()) mkdirSync(join(dir, folder), { recursive: true });
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** Writes a file; `lines` import, and every file exports an `x`. */
function plant(path: string, lines: readonly string[]): void {
  mkdirSync(dirname(join(dir, path)), { recursive: true });
  writeFileSync(join(dir, path), `${lines.join('\n')}\nexport const x = 1;\n`);
}

describe('the boundaries', { timeout: 120_000 }, () => {
  it('hold in the tree, all of which is looked at', () => {
    const { status, text } = cruise(ROOT, checkedFolders());
    expect(text).toMatch(/no dependency violations found/);
    expect(status).toBe(0);
    const [, modules] = /\((\d+) modules, \d+ dependencies cruised\)/.exec(text)!;
    expect(Number(modules)).toBeGreaterThan(100);
  });

  it('are checked: each rule names the import that breaks it', () => {
    // All plants in one run: where two use one file, it holds the imports of both.
    const files = new Map<string, Set<string>>();
    for (const { files: planted } of Object.values(PLANTS)) {
      for (const [path, imports] of Object.entries(planted)) {
        files.set(path, new Set([...(files.get(path) ?? []), ...imports]));
      }
    }
    for (const [path, imports] of files) {
      const lines = [...imports].map(
        (from, i) => `import * as m${i} from '${from}';\nexport const y${i}: unknown = m${i};`,
      );
      plant(path, lines);
    }
    const { status, text } = cruise(dir, checkedFolders());
    expect(status).not.toBe(0);
    for (const [what, { rule, files: planted }] of Object.entries(PLANTS)) {
      const [from] = Object.entries(planted).find(([, imports]) => imports.length > 0)!;
      expect(text, what).toMatch(new RegExp(`error ${rule}: ${from} →`));
    }
  });

  it('are checked for types as well, which vanish when the code runs', () => {
    plant('engine/a.ts', ["import type { x } from '../connectors/kafka/a.ts';", 'export type Y = typeof x;']);
    plant('connectors/kafka/a.ts', []);
    const { status, text } = cruise(dir, checkedFolders());
    expect(text).toContain('error engine-imports-nothing-of-ours: engine/a.ts → connectors/kafka/a.ts');
    expect(status).not.toBe(0);
  });
});

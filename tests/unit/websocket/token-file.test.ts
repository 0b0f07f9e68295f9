import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TokenFile } from '../../../connectors/websocket/token-file.ts';
import { newToken } from '../../../connectors/websocket/tokens.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-tokens-'));
  path = join(folder, 'tokens');
});
afterEach(() => rmSync(folder, { recursive: true }));

const names = (file: TokenFile) => file.entries.map(({ name }) => name);

it('follows the file, and keeps what it had while the file is bad or away', () => {
  const lines: string[] = [];
  const logger = pino({ level: 'error' }, { write: (line) => lines.push(line) });
  writeFileSync(path, newToken('a').line);
  const file = new TokenFile(path, logger);
  writeFileSync(path, `${newToken('a').line}\n${newToken('b').line}`);
  file.refresh();
  expect(names(file)).toEqual(['a', 'b']);
  writeFileSync(path, 'secret');
  for (let i = 0; i < 3; i++) file.refresh();
  rmSync(path);
  for (let i = 0; i < 3; i++) file.refresh();
  expect(names(file)).toEqual(['a', 'b']);
  expect(lines.map((line) => JSON.parse(line).err.code)).toEqual(['TOKENS_INVALID', 'TOKENS_UNREADABLE']);
  expect(lines.join()).not.toContain('secret');
  writeFileSync(path, newToken('c').line);
  file.refresh();
  expect(names(file)).toEqual(['c']);
});

it('must be readable at the start', () => {
  const open = () => new TokenFile(path, pino({ level: 'silent' }));
  expect(open).toThrow(expect.objectContaining({ code: 'TOKENS_UNREADABLE' }));
});

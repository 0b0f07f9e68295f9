import { describe, expect, it } from 'vitest';
import { identify, newToken, parseTokens, stillValid } from '../../../connectors/websocket/tokens.ts';

const HASH = 'a'.repeat(64);

describe('tokens', () => {
  it('are known by what was made, and by nothing else', () => {
    const { token, line } = newToken('desk-1');
    const entries = parseTokens(`# comment\n\n other ${HASH}\n${line}\n`);
    expect(entries.map(({ name }) => name)).toEqual(['other', 'desk-1']);
    expect(identify(entries, token, 0)?.name).toBe('desk-1');
    expect(identify(entries, `${token} `, 0)).toBeNull();
    expect(identify(entries, line.split(' ')[1]!, 0)).toBeNull();
    expect(identify(entries, '', 0)).toBeNull();
    expect(line).not.toContain(token);
  });

  it('end when they say so, for who is there already too', () => {
    const { token, line } = newToken('a', { expiresMs: 1_000 });
    const entries = parseTokens(line);
    const entry = identify(entries, token, 999)!;
    expect(entry.expiresMs).toBe(1_000);
    expect(stillValid(entries, entry, 999)).toBe(true);
    expect(identify(entries, token, 1_000)).toBeNull();
    expect(stillValid(entries, entry, 1_000)).toBe(false);
  });

  it('are not valid any more once they are not listed, though another of the name is', () => {
    const old = newToken('a');
    const entry = identify(parseTokens(old.line), old.token, 0)!;
    expect(stillValid(parseTokens(newToken('a').line), entry, 0)).toBe(false);
    expect(stillValid(parseTokens(`${old.line}\n${newToken('a').line}`), entry, 0)).toBe(true);
  });

  it('may have a limit of connections, with an end or without', () => {
    const made = newToken('b', { expiresMs: 1_000, maxConnections: 7 });
    const entries = parseTokens(`a ${HASH} max=3\nc ${HASH}\n${made.line}`);
    expect(entries.map(({ maxConnections }) => maxConnections)).toEqual([3, null, 7]);
    expect(entries.map(({ expiresMs }) => expiresMs)).toEqual([null, null, 1_000]);
  });

  it.each([
    `name ${HASH} max=0`,
    `name ${HASH} max=`,
    `name ${'g'.repeat(64)}`,
    `name ${HASH} tomorrow`,
    HASH,
    `na/me ${HASH}`,
    `name ${HASH.slice(1)}`,
  ])('refuse a bad line, naming its number and not what is on it: %s', (line) => {
    const parse = () => parseTokens(`ok ${HASH}\n${line}`);
    expect(parse).toThrow(expect.objectContaining({ code: 'TOKENS_INVALID' }));
    expect(parse).toThrow(/lines 2:/);
    expect(parse).not.toThrow(HASH);
  });
});

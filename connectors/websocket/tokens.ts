/**
 * Who may connect: bearer tokens, of which only SHA-256 hashes are kept. A token is 256 random bits, so a plain hash of it tells nobody anything;
 * what has less entropy (a password) must not be used as one.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { SluiceError } from '../../engine/errors.ts';

/** One accepted token: what a log may say of it, and how it is known again. */
export interface TokenEntry {
  readonly name: string;
  /** SHA-256 of the token's UTF-8 bytes. */
  readonly hash: Buffer;
  /** Milliseconds since the epoch; null is never. */
  readonly expiresMs: number | null;
  /** Connections that it may hold at a time; null is as many as the server's own setting says. */
  readonly maxConnections: number | null;
}

const LINE = /^([\w.-]{1,64})\s+([0-9a-f]{64})(?:\s+(?!max=)(\S+))?(?:\s+max=([1-9]\d{0,5}))?$/;
const TOKEN_BYTES = 32;

/**
 * Parses `name sha256-hex [expiry, ISO 8601] [max=connections]`, one a line; empty lines and lines with # in front are passed over. Throws
 * TOKENS_INVALID with the numbers of the bad lines and nothing of what is on them.
 */
export function parseTokens(text: string): readonly TokenEntry[] {
  const entries: TokenEntry[] = [];
  const bad: number[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const [, name, hash, expiry, max] = LINE.exec(line) ?? [];
    const expiresMs = expiry === undefined ? null : Date.parse(expiry);
    if (name === undefined || hash === undefined || Number.isNaN(expiresMs)) bad.push(index + 1);
    else {
      const maxConnections = max === undefined ? null : Number(max);
      entries.push({ name, hash: Buffer.from(hash, 'hex'), expiresMs, maxConnections });
    }
  }
  if (bad.length === 0) return entries;
  throw new SluiceError(
    `Bad token lines ${bad.join(', ')}: each is a name, the SHA-256 of the token in hex, when it ends (ISO 8601) if it does, and max=connections if it has a limit of its own`,
    { code: 'TOKENS_INVALID', action: 'fatal' },
  );
}

/** A new random token, and the line that makes it known. */
export function newToken(
  name: string,
  { expiresMs, maxConnections }: Partial<Pick<TokenEntry, 'expiresMs' | 'maxConnections'>> = {},
): { readonly token: string; readonly line: string } {
  const token = randomBytes(TOKEN_BYTES).toString('base64url');
  const expiry = expiresMs ? ` ${new Date(expiresMs).toISOString()}` : '';
  const max = maxConnections ? ` max=${maxConnections}` : '';
  return { token, line: `${name} ${hashOf(token).toString('hex')}${expiry}${max}` };
}

/** The entry of a token that is valid now, or null. Takes as long whichever token it is, and whether it is one. */
export function identify(entries: readonly TokenEntry[], token: string, nowMs: number): TokenEntry | null {
  const hash = hashOf(token);
  let found: TokenEntry | null = null;
  for (const entry of entries) if (timingSafeEqual(entry.hash, hash)) found = entry;
  return found !== null && isCurrent(found, nowMs) ? found : null;
}

/** Whether who came with this token may stay: it is still listed and has not ended. */
export function stillValid(entries: readonly TokenEntry[], { hash }: TokenEntry, nowMs: number): boolean {
  return entries.some((entry) => entry.hash.equals(hash) && isCurrent(entry, nowMs));
}

function isCurrent({ expiresMs }: TokenEntry, nowMs: number): boolean {
  return expiresMs === null || nowMs < expiresMs;
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

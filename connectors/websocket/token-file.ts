/** The accepted tokens, from a file that may change while they are in use: a token is revoked by taking its line out. */
import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import { SluiceError } from '../../engine/errors.ts';
import { parseTokens, type TokenEntry } from './tokens.ts';

export class TokenFile {
  readonly #path: string;
  readonly #logger: Logger;
  #text: string | null;
  #entries: readonly TokenEntry[];

  /** Throws TOKENS_UNREADABLE or TOKENS_INVALID. */
  constructor(path: string, logger: Logger) {
    this.#path = path;
    this.#logger = logger;
    this.#text = read(path);
    this.#entries = parseTokens(this.#text);
  }

  get entries(): readonly TokenEntry[] {
    return this.#entries;
  }

  /** Looks at the file again. What cannot be read, or is half written, leaves the tokens as they were, and is logged once. */
  refresh(): void {
    let text: string | null = null;
    try {
      text = read(this.#path);
      if (text === this.#text) return;
      this.#entries = parseTokens(text);
      this.#logger.info({ tokens: this.#entries.length }, 'tokens changed');
    } catch (error) {
      if (text !== this.#text) this.#logger.error({ err: error }, 'the tokens stay as they were');
    }
    this.#text = text;
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new SluiceError(`The token file ${path} cannot be read`, {
      code: 'TOKENS_UNREADABLE',
      action: 'fatal',
      cause: error,
    });
  }
}

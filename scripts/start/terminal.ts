/** Draws whole screens in place, without flicker, on the alternate screen, so that the scrollback is as it was afterwards. */
import type { WriteStream } from 'node:tty';

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';

export class Terminal {
  readonly #out: WriteStream;
  #open = false;
  readonly #restore = () => this.close();

  constructor(out: WriteStream) {
    this.#out = out;
  }

  get size(): { readonly columns: number; readonly rows: number } {
    return { columns: this.#out.columns || 80, rows: this.#out.rows || 24 };
  }

  draw(lines: readonly string[]): void {
    if (!this.#open) {
      this.#open = true;
      // Also after a crash the terminal must be usable.
      process.once('exit', this.#restore);
      this.#out.write(ENTER);
    }
    // Each line erases what it does not cover; then everything below.
    this.#out.write(`\x1b[H${lines.map((line) => `${line}\x1b[K`).join('\r\n')}\x1b[J`);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    process.removeListener('exit', this.#restore);
    this.#out.write(LEAVE);
  }
}

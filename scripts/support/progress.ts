/** How far a command is: a bar with rate and ETA on a terminal, a plain line every few seconds otherwise. On standard error. */
import cliProgress from 'cli-progress';

export interface Progress {
  /** `total` null: not known. Both in `unit`; may go down when an estimate was too high. */
  update(done: number, total: number | null, note?: string): void;
  /** Takes the bar away, so that other lines can be printed. */
  end(): void;
}

const LINE_MS = 5_000;

interface ProgressOptions {
  /** What is counted: `rows`, `letters`. */
  readonly unit: string;
  readonly terminal: boolean;
  readonly write: (line: string) => void;
  readonly nowMs?: () => number;
}

export function progressOf(options: ProgressOptions): Progress {
  return options.terminal ? new Bar(options.unit) : new Lines(options);
}

class Bar implements Progress {
  readonly #bar: cliProgress.SingleBar;
  #started = false;

  constructor(unit: string) {
    const format = `{bar} {percentage}% | {value}/{total} ${unit} | {speed}/s | ETA {eta_formatted} | {note}`;
    this.#bar = new cliProgress.SingleBar(
      { format, etaBuffer: 50, hideCursor: true, clearOnComplete: true, stream: process.stderr },
      cliProgress.Presets.shades_classic,
    );
  }

  update(done: number, total: number | null, note = ''): void {
    const end = total ?? done;
    if (!this.#started) {
      this.#bar.start(end, done, { speed: 0, note });
      this.#started = true;
      this.#since = { atMs: Date.now(), done };
      return;
    }
    this.#bar.setTotal(end);
    this.#bar.update(done, { speed: rate(this.#since, done, Date.now()), note });
  }

  #since = { atMs: 0, done: 0 };

  end(): void {
    if (this.#started) this.#bar.stop();
    this.#started = false;
  }
}

class Lines implements Progress {
  readonly #options: ProgressOptions;
  readonly #nowMs: () => number;
  #since: { readonly atMs: number; readonly done: number } | null = null;
  #printedMs = Number.NEGATIVE_INFINITY;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? Date.now;
  }

  update(done: number, total: number | null, note = ''): void {
    const nowMs = this.#nowMs();
    this.#since ??= { atMs: nowMs, done };
    if (nowMs - this.#printedMs < LINE_MS) return;
    this.#printedMs = nowMs;
    const perSecond = rate(this.#since, done, nowMs);
    const eta = total === null || perSecond === 0 ? '' : `, ETA ${Math.ceil((total - done) / perSecond)} s`;
    const { unit, write } = this.#options;
    write(
      `${done}${total === null ? '' : ` of ${total}`} ${unit}, ${perSecond}/s${eta}${note === '' ? '' : ` (${note})`}`,
    );
  }

  end(): void {}
}

function rate(since: { readonly atMs: number; readonly done: number }, done: number, nowMs: number): number {
  const seconds = (nowMs - since.atMs) / 1_000;
  return seconds <= 0 ? 0 : Math.round((done - since.done) / seconds);
}

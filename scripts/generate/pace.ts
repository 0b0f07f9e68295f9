/** How much traffic is due: at a rate, for a time. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Small batches at short intervals: a burst a second would be measured as latency downstream. */
const TICK_MS = 50;
/** After a stall, at most so much is made up for; the rest shows as a lower rate. */
const MAX_DEBT_MS = 1_000;

export interface PaceOptions {
  /** How many a second; 0 for as fast as possible. */
  readonly rate: number;
  /** 0 without end. */
  readonly seconds: number;
}

/** The clock begins when it is made. What is due grows tick by tick: a batch for whatever has become due meanwhile would be hundreds a second. */
export class Pace {
  readonly #options: PaceOptions;
  readonly #now: () => number;
  readonly #startedMs: number;
  #made = 0;
  /** What is never made up for. */
  #forgiven = 0;

  /** @param now milliseconds of a clock that never goes back */
  constructor(options: PaceOptions, now: () => number = () => performance.now()) {
    this.#options = options;
    this.#now = now;
    this.#startedMs = now();
  }

  get elapsedMs(): number {
    return this.#now() - this.#startedMs;
  }

  get timeIsOver(): boolean {
    return this.#options.seconds > 0 && this.elapsedMs >= this.#options.seconds * 1_000;
  }

  /** How many to make now, at most `max`; 0 when there is nothing to do yet. */
  due(max: number): number {
    const { rate, seconds } = this.#options;
    if (rate === 0) return this.timeIsOver ? 0 : max;
    const tickedMs = Math.floor(this.elapsedMs / TICK_MS) * TICK_MS;
    const elapsedMs = this.timeIsOver ? seconds * 1_000 : tickedMs;
    const due = Math.floor((elapsedMs * rate) / 1_000) - this.#made - this.#forgiven;
    const tooMuch = Math.max(0, due - Math.ceil((MAX_DEBT_MS * rate) / 1_000));
    this.#forgiven += tooMuch;
    return Math.min(due - tooMuch, max);
  }

  made(count: number): void {
    this.#made += count;
  }

  async untilNextTick(signal: AbortSignal): Promise<void> {
    const elapsedMs = this.elapsedMs;
    const next = (Math.floor(elapsedMs / TICK_MS) + 1) * TICK_MS;
    // A rate of less than one a tick waits longer, not busily.
    await sleep(Math.max(1, next - elapsedMs), undefined, { signal }).catch(() => undefined);
  }
}

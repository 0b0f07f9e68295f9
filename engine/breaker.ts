/**
 * Paces the tries of everything that depends on one target, so that a target that is away is asked seldom and by one only.
 *
 *              ┌──────────────── success ────────────────┐
 *              ▼                                         │
 *   closed ── failures in a row, too many or for too long ──► open ── delay is over ──► half-open
 *                                                        ▲                              │
 *                                                        └─────────── failure ──────────┘
 *
 * Invariants:
 *  - While it is not closed, nothing is let in before the delay is over, and then one try (the probe) at a time.
 *  - Delays grow up to a limit, and the first success ends them, whoever had it.
 *  - It is told of transient failures only: what trying again cannot mend must not close the way for the others.
 */
import { backoffMs } from './backoff.ts';

export type BreakerState = 'closed' | 'half-open' | 'open';

/** Failures with no success between them. */
export interface Outage {
  readonly failures: number;
  readonly lastCode: string;
  /** Since the first of them. */
  readonly forMs: number;
}

export interface BreakerOptions {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly random?: () => number;
  /** So many failures in a row open it … */
  readonly maxFailures?: number;
  /** … or fewer, when they have lasted so long: a server that hangs fails seldom. */
  readonly maxFailingMs?: number;
}

const MAX_FAILURES = 5;
const MAX_FAILING_MS = 10_000;
const DELAY = { firstMs: 500, maxMs: 10_000 } as const;
/** How soon those who are not the probe ask again. */
const ASK_AGAIN_MS = 100;

export class Breaker {
  readonly #options: Required<BreakerOptions>;
  #state: BreakerState = 'closed';
  #failures = 0;
  #failingSince = 0;
  #lastCode = '';
  /** Failed probes since it opened. */
  #probes = 0;
  #notBefore = 0;
  #probe: string | null = null;
  #openedAt = 0;
  #openMs = 0;

  constructor(options: BreakerOptions) {
    this.#options = {
      random: Math.random,
      maxFailures: MAX_FAILURES,
      maxFailingMs: MAX_FAILING_MS,
      ...options,
    };
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** Null while the last try went well. */
  get outage(): Outage | null {
    if (this.#failures === 0) return null;
    const forMs = this.#options.now() - this.#failingSince;
    return { failures: this.#failures, lastCode: this.#lastCode, forMs };
  }

  /** How long it has not been closed, in all. */
  get openMs(): number {
    return this.#openMs + (this.#state === 'closed' ? 0 : this.#options.now() - this.#openedAt);
  }

  /** Milliseconds after which `who` may ask again; 0: it may try now, and must then say how it went. */
  admit(who: string): number {
    if (this.#state === 'closed') return 0;
    const wait = this.#notBefore - this.#options.now();
    if (this.#state === 'open' && wait > 0) return wait;
    this.#state = 'half-open';
    this.#probe ??= who;
    return this.#probe === who ? 0 : ASK_AGAIN_MS;
  }

  /** A transient failure. */
  failed(who: string, code: string): void {
    const now = this.#options.now();
    if (this.#failures === 0) this.#failingSince = now;
    this.#failures++;
    this.#lastCode = code;
    if (this.#state === 'closed') {
      const { maxFailures, maxFailingMs } = this.#options;
      if (this.#failures < maxFailures && now - this.#failingSince < maxFailingMs) return;
      this.#openedAt = now;
      this.#probes = 0;
      this.#open(now);
    } else if (this.#probe === who) {
      this.#probes++;
      this.#open(now);
    }
    // Else a try that was under way when it opened: it says nothing new.
  }

  succeeded(): void {
    this.#openMs = this.openMs;
    this.#state = 'closed';
    this.#failures = 0;
    this.#probe = null;
  }

  /** The try ended without showing anything of the target: another may be the probe. */
  released(who: string): void {
    if (this.#probe === who) this.#probe = null;
  }

  #open(now: number): void {
    this.#state = 'open';
    this.#probe = null;
    this.#notBefore = now + backoffMs(this.#probes, DELAY, this.#options.random);
  }
}

/**
 * The recursive averages of the library, made to go on from a stored value: the next result is, bit for bit, the one that they
 * would have given without the interruption, because each depends on the past through its last result alone.
 */
import { EMA, WSMA } from 'trading-signals';

/** Exponential moving average, begun at its first value. */
export class Exponential extends EMA {
  resume(value: number): void {
    this.result = value;
  }
}

/** Wilder's moving average, begun with the plain mean. */
export class Wilder extends WSMA {
  resume(value: number): void {
    this.result = value;
  }

  /** The last result; null before the first. */
  get value(): number | null {
    return this.result ?? null;
  }
}

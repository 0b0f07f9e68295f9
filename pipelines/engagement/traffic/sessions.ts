/** People using contents: each session is one user on one device with one content, moving through play, pause, finish. */

import type { Random } from '../../random.ts';
import type { Content } from './catalogue.ts';
import type { Zipf } from './zipf.ts';

export const EVENT_TYPES = ['play', 'pause', 'finish', 'click'] as const;
export const DEVICES = ['ios', 'android', 'web', 'tv', 'car', 'smart-speaker'] as const;

const PLAY = 0;
const PAUSE = 1;
const FINISH = 2;
const CLICK = 3;

/** Sessions under way at the same time. */
const SESSIONS = 4_096;
/** Devices by share; the rest is unknown (NULL). */
const DEVICE_SHARES = [0.34, 0.62, 0.83, 0.9, 0.94, 0.965] as const;
/** A guess at the length of a content that has none, for how long people stay with it. */
const UNKNOWN_LENGTH_MS = 120_000;

/** What one step of a session is; the caller keeps the object and has it overwritten, since this runs for every event. */
export interface Step {
  /** Index into the catalogue. */
  content: number;
  user: number;
  /** Index into EVENT_TYPES. */
  type: number;
  /** Index into DEVICES; −1 unknown. */
  device: number;
  /** −1 not measured. */
  durationMs: number;
}

/** All sessions under way, as columns. */
export class Sessions {
  readonly #content = new Int32Array(SESSIONS);
  readonly #user = new Int32Array(SESSIONS);
  readonly #device = new Int8Array(SESSIONS);
  /** Milliseconds of the content that were played; −1 before the first play. */
  readonly #playedMs = new Int32Array(SESSIONS);
  readonly #playing = new Uint8Array(SESSIONS);
  readonly #users: number;
  readonly #popularity: Zipf;

  constructor(users: number, popularity: Zipf, random: Random) {
    this.#users = users;
    this.#popularity = popularity;
    for (let slot = 0; slot < SESSIONS; slot += 1) this.#begin(slot, random);
  }

  /** Moves any one session on, and writes what happened into `step`. */
  step(contents: readonly Content[], random: Random, step: Step): void {
    const slot = random.below(SESSIONS);
    const content = contents[this.#content[slot]!]!;
    step.content = this.#content[slot]!;
    step.user = this.#user[slot]!;
    step.device = this.#device[slot]!;
    if (content.type === 'newsletter') this.#read(slot, random, step);
    else this.#listen(slot, (content.lengthSeconds ?? 0) * 1000 || UNKNOWN_LENGTH_MS, random, step);
    // Some clients never say how long.
    if (step.durationMs >= 0 && random.chance(0.05)) step.durationMs = -1;
  }

  #read(slot: number, random: Random, step: Step): void {
    step.type = CLICK;
    step.durationMs = random.chance(0.4) ? Math.floor(random.logUniform(1_000, 300_000)) : -1;
    if (random.chance(0.6)) this.#begin(slot, random);
  }

  #listen(slot: number, lengthMs: number, random: Random, step: Step): void {
    if (this.#playing[slot] === 0) {
      step.type = random.chance(0.05) ? CLICK : PLAY;
      step.durationMs = step.type === PLAY ? Math.max(0, this.#playedMs[slot]!) : -1;
      if (step.type === PLAY) this.#playing[slot] = 1;
      return;
    }
    const left = lengthMs - Math.max(0, this.#playedMs[slot]!);
    if (left <= 1_000 || random.chance(0.45)) {
      step.type = FINISH;
      // People skip the end, or play a part twice.
      step.durationMs = Math.floor(lengthMs * (0.85 + 0.2 * random.unit()));
      this.#begin(slot, random);
      return;
    }
    const playedMs = Math.max(0, this.#playedMs[slot]!) + Math.floor(left * random.unit());
    this.#playedMs[slot] = playedMs;
    this.#playing[slot] = 0;
    step.type = PAUSE;
    step.durationMs = playedMs;
    if (random.chance(0.3)) this.#begin(slot, random);
  }

  #begin(slot: number, random: Random): void {
    this.#content[slot] = this.#popularity.pick(random);
    this.#user[slot] = random.below(this.#users);
    this.#playedMs[slot] = -1;
    this.#playing[slot] = 0;
    const share = random.unit();
    this.#device[slot] = DEVICE_SHARES.findIndex((upTo) => share < upTo);
  }
}

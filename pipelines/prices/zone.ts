/** The local clock of a time zone, fast enough to be asked for every bar: offsets are asked of Intl once a period and kept. */

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** Offsets are found for this long at once, and looked for in steps: no zone changes its clock twice within one. */
const PERIOD_MS = 512 * DAY_MS;
const STEP_MS = 8 * DAY_MS;

/** The offset from `from` (inclusive) to `to`. */
interface Span {
  readonly from: number;
  readonly to: number;
  readonly offsetMs: number;
}

/** 1970-01-01 was a Thursday. */
const MONDAY = 4;
const DAYS_OF_WEEK = 7;

/** First instant, and the first one behind it. */
interface Stretch {
  readonly start: number;
  readonly end: number;
}

export interface LocalDay extends Stretch {
  /** As `dayOf` counts them. */
  readonly day: number;
  /** Where its hours begin: 23 to 25. */
  readonly hours: readonly number[];
}

export interface LocalWeek extends Stretch {
  /** Where its seven days begin. */
  readonly days: readonly number[];
}

const zones = new Map<string, Zone>();

/** Instants are milliseconds since the epoch; a local day is a number of days since 1970-01-01 on the local calendar. */
export class Zone {
  readonly #format: Intl.DateTimeFormat;
  readonly #periods = new Map<number, readonly Span[]>();
  #last: Span = { from: 0, to: 0, offsetMs: 0 };
  /** The ones that were asked for last: a batch of bars is of few. */
  #day: LocalDay = { start: 0, end: 0, day: 0, hours: [] };
  #week: LocalWeek = { start: 0, end: 0, days: [] };

  private constructor(name: string) {
    this.#format = new Intl.DateTimeFormat('en-US', { timeZone: name, timeZoneName: 'longOffset' });
  }

  /** The zone of an IANA name. Throws RangeError for one that is none. */
  static of(name: string): Zone {
    const zone = zones.get(name) ?? new Zone(name);
    zones.set(name, zone);
    return zone;
  }

  /** Milliseconds east of UTC. */
  offsetMs(at: number): number {
    if (at < this.#last.from || at >= this.#last.to) this.#last = this.#spanOf(at);
    return this.#last.offsetMs;
  }

  /** The first instant of the local hour that holds `at`. Hours that the clock repeats are two. */
  hourStart(at: number): number {
    const offset = this.offsetMs(at);
    return Math.floor((at + offset) / HOUR_MS) * HOUR_MS - offset;
  }

  dayOf(at: number): number {
    return Math.floor((at + this.offsetMs(at)) / DAY_MS);
  }

  /** The midnight at which a local day begins. */
  midnight(day: number): number {
    const local = day * DAY_MS;
    const guess = local - this.offsetMs(local);
    return local - this.offsetMs(guess);
  }

  /** The local day that holds `at`. */
  dayAt(at: number): LocalDay {
    if (at >= this.#day.start && at < this.#day.end) return this.#day;
    const day = this.dayOf(at);
    const [start, end] = [this.midnight(day), this.midnight(day + 1)];
    const hours: number[] = [];
    for (let hour = start; hour < end; hour += HOUR_MS) hours.push(hour);
    this.#day = { day, start, end, hours };
    return this.#day;
  }

  /** The local week, from Monday, that holds `at`. */
  weekAt(at: number): LocalWeek {
    if (at >= this.#week.start && at < this.#week.end) return this.#week;
    const monday = Math.floor((this.dayOf(at) - MONDAY) / DAYS_OF_WEEK) * DAYS_OF_WEEK + MONDAY;
    const days = Array.from({ length: DAYS_OF_WEEK }, (_, index) => this.midnight(monday + index));
    this.#week = { start: days[0]!, end: this.midnight(monday + DAYS_OF_WEEK), days };
    return this.#week;
  }

  #spanOf(at: number): Span {
    const period = Math.floor(at / PERIOD_MS);
    let spans = this.#periods.get(period);
    if (spans === undefined) {
      spans = this.#find(period * PERIOD_MS, (period + 1) * PERIOD_MS);
      this.#periods.set(period, spans);
    }
    return spans.find(({ to }) => at < to)!;
  }

  #find(begin: number, end: number): Span[] {
    const spans: Span[] = [];
    let from = begin;
    let offsetMs = this.#ask(begin);
    for (let step = begin; step < end; step += STEP_MS) {
      const next = Math.min(step + STEP_MS, end);
      const then = this.#ask(next);
      if (then === offsetMs) continue;
      const change = this.#change(step, next, offsetMs);
      spans.push({ from, to: change, offsetMs });
      from = change;
      offsetMs = then;
    }
    if (from < end) spans.push({ from, to: end, offsetMs });
    return spans;
  }

  /** The first minute within (before, after] that no longer has the offset. */
  #change(before: number, after: number, offsetMs: number): number {
    let [low, high] = [before, after];
    while (high - low > MINUTE_MS) {
      const middle = Math.floor((low + high) / 2 / MINUTE_MS) * MINUTE_MS;
      if (this.#ask(middle) === offsetMs) low = middle;
      else high = middle;
    }
    return high;
  }

  #ask(at: number): number {
    const text = this.#format.formatToParts(at).find(({ type }) => type === 'timeZoneName')!.value;
    const [, sign, hours, minutes = '0'] = /^GMT(?:([+-])(\d\d):(\d\d))?/.exec(text)!;
    if (sign === undefined) return 0;
    const offset = Number(hours) * HOUR_MS + Number(minutes) * MINUTE_MS;
    return sign === '-' ? -offset : offset;
  }
}

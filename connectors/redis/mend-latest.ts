/**
 * Makes values of a sink of newest ones (latest.ts) say again what their records say, while the sink goes on.
 *
 * Invariant: nothing is put over what the sink has written since: a value belongs to the mark of its series, which names the record that it is of, and is
 * written only while that mark is still the newest.
 */
import { type RedisClientOptions, redisClient } from './client.ts';
import { redisError } from './errors.ts';
import { flat, type LatestOperation, marksKey } from './latest.ts';

/** The newest value of a series that the sink has ever written. */
export interface Mark {
  readonly text: string;
  /** Its own time. */
  readonly time: number;
  /** Of its record, or of the one that took it off. */
  readonly offset: bigint;
  /** Under which it is shown. */
  readonly key: string;
}

/** A sink's places, as of `LatestSinkOptions`. */
export interface LatestPlaces {
  readonly prefix: string;
  readonly control: string;
  readonly ttlMs: number;
}

export interface LatestMender {
  connect(): Promise<void>;
  /** By series. */
  marks(): Promise<ReadonlyMap<string, Mark>>;
  /** The fields under a name; none when nothing is shown. */
  shown(name: string): Promise<Readonly<Record<string, string>>>;
  /** Shows the value of a mark, or takes off what has gone. False: the sink has written another meanwhile. */
  mend(series: string, mark: Mark, value: Extract<LatestOperation, { kind: 'value' }> | null): Promise<boolean>;
  /** Takes off what is shown under a name that no series has. False: it is no longer what was seen. */
  takeOff(name: string, seen: Readonly<Record<string, string>>): Promise<boolean>;
  close(): Promise<void>;
}

/** Makes it; nothing is opened before `connect`. Its methods throw REDIS_… as of errors.ts. */
export function latestMender(options: RedisClientOptions, { prefix, control, ttlMs }: LatestPlaces): LatestMender {
  const client = redisClient(options);
  const marks = marksKey(control);
  const asked = async (doing: string, work: Promise<unknown>): Promise<boolean> => {
    return (
      (await work.catch((error: unknown) => {
        throw redisError(error, doing);
      })) === 1
    );
  };
  return {
    connect: () => client.connect(),
    async marks() {
      const [found = {}] = await client.hashes([marks]);
      return new Map(Object.entries(found).flatMap(([series, text]) => markOf(series, text)));
    },
    async shown(name) {
      return (await client.hashes([prefix + name]))[0] ?? {};
    },
    async mend(series, mark, value) {
      const fields = value === null ? [] : flat(value.fields());
      // Without a moment of its own it is of a stamp that nobody remembers: the sink writes it with the next one.
      const expires = value?.momentMs == null ? 0 : value.momentMs + ttlMs;
      const args = [marks, series, mark.text, mark.key, expires, fields.length, ...fields];
      return await asked('mending a value', client.scripts.sluiceMend(...args));
    },
    async takeOff(name, seen) {
      return await asked('taking a value off', client.scripts.sluiceTakeOff(prefix + name, ...flat(seen)));
    },
    close: () => client.close(),
  };
}

function markOf(series: string, text: string): readonly (readonly [string, Mark])[] {
  const match = /^(-?\d+):(\d+):(.*)$/s.exec(text);
  if (match === null) return [];
  return [[series, { text, time: Number(match[1]), offset: BigInt(match[2]!), key: match[3]! }]];
}

/** What the leaderboard keeps in its store, and as which bytes. */
import { SluiceError } from '../../../engine/errors.ts';
import type { ValueCodec } from '../../../engine/segment-base.ts';
import type { Sums } from './sums.ts';

/** Segment `<window>|<pane start>`, key content id. */
export interface PaneSums extends Sums {
  readonly kind: 'pane';
}

/** Segment `content`, key content id: what is shown of a content, as of the LSN it last changed at. */
export interface ContentInfo {
  readonly kind: 'content';
  readonly lsn: bigint;
  readonly slug: string;
  readonly title: string;
  readonly contentType: string;
}

/** Segment `clock`, one key: where the stage stands, and the rules that what it has published was ranked by. */
export interface Clock {
  readonly kind: 'clock';
  streamTime: number;
  markLsn: bigint;
  limit: number;
  minSamples: number;
  /** Events before this time, ms, are not counted: their changes are no longer all in the log. 0 counts all. */
  floor: number;
}

export type Stored = PaneSums | ContentInfo | Clock;

export const CONTENT = 'content';
export const CLOCK = 'clock';

export function emptyPane(): PaneSums {
  return {
    kind: 'pane',
    events: 0,
    plays: 0,
    finishes: 0,
    engagementMs: 0,
    engagementSamples: 0,
    pctBpSum: 0,
    pctSamples: 0,
  };
}

/** Panes are seven unsigned varints; the two small segments are JSON. */
export const storedCodec: ValueCodec<Stored> = {
  encode(value) {
    switch (value.kind) {
      case 'pane':
        return encodePane(value);
      case 'content':
        return Buffer.from(JSON.stringify([String(value.lsn), value.slug, value.title, value.contentType]));
      case 'clock':
        return Buffer.from(
          JSON.stringify([value.streamTime, String(value.markLsn), value.limit, value.minSamples, value.floor]),
        );
      default:
        throw value satisfies never;
    }
  },
  decode(bytes, segment) {
    if (segment === CONTENT) {
      const [lsn, slug, title, contentType] = JSON.parse(text(bytes)) as [string, string, string, string];
      return { kind: 'content', lsn: BigInt(lsn), slug, title, contentType };
    }
    if (segment === CLOCK) {
      // Stores of before the floor have none.
      const [streamTime, lsn, limit, minSamples, floor = 0] = JSON.parse(text(bytes)) as [
        ...[number, string, number, number],
        number?,
      ];
      return { kind: 'clock', streamTime, markLsn: BigInt(lsn), limit, minSamples, floor };
    }
    return decodePane(bytes);
  },
};

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
}

/** Seven varints of at most eight bytes (integers below 2^53). */
const scratch = new Uint8Array(56);

function encodePane(pane: PaneSums): Uint8Array {
  let at = writeVarint(0, pane.events);
  at = writeVarint(at, pane.plays);
  at = writeVarint(at, pane.finishes);
  at = writeVarint(at, pane.engagementMs);
  at = writeVarint(at, pane.engagementSamples);
  at = writeVarint(at, pane.pctBpSum);
  at = writeVarint(at, pane.pctSamples);
  return Buffer.from(scratch.subarray(0, at));
}

function writeVarint(start: number, value: number): number {
  let at = start;
  let rest = value;
  while (rest >= 0x80) {
    scratch[at++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  scratch[at++] = rest;
  return at;
}

function decodePane(bytes: Uint8Array): PaneSums {
  let at = 0;
  const next = () => {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = bytes[at++];
      if (byte === undefined) {
        throw new SluiceError('A stored pane ends early; wipe the store', { code: 'STORE_CORRUPT', action: 'fatal' });
      }
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
  };
  const pane = emptyPane();
  pane.events = next();
  pane.plays = next();
  pane.finishes = next();
  pane.engagementMs = next();
  pane.engagementSamples = next();
  pane.pctBpSum = next();
  pane.pctSamples = next();
  return pane;
}

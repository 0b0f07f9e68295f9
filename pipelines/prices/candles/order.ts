/**
 * How the store of candles lies on disk: each series together, in the order of time. The keys of the topic are Avro, whose numbers have the low bits first:
 * in their order the candles of one batch are strewn over about as many pages as they are.
 */
import { FRAME_BYTES } from '../../../engine/avro/framing.ts';
import { highBytesFirst } from '../../../engine/avro/number-order.ts';
import type { StoreOrder } from '../../../engine/view-store.ts';

const MORE = 128;
const GROUP = 128;
/** Greater than how many bytes a number has. */
const BEHIND_ALL = Buffer.from([255]);

/** Where the start of the candle begins in a key: behind the frame, the stock and the interval, which the order leaves as they are. */
function startAt(key: Buffer): number {
  let at = FRAME_BYTES;
  while (key[at]! >= MORE) at++;
  // An interval is a few letters: its length is one byte, twice as large.
  const length = key[at + 1]! >> 1;
  return at + 2 + length;
}

/** The start is never negative. */
export const CANDLE_ORDER: StoreOrder = {
  name: 'candles-by-time',
  keyOf: (key) => highBytesFirst(key, startAt(key)),
};

/** What the store's keys of the series of a key begin with, and one that is behind all of them. */
export function seriesRange(key: Buffer): { readonly prefix: Buffer; readonly end: Buffer } {
  const prefix = Buffer.from(key.subarray(0, startAt(key)));
  return { prefix, end: Buffer.concat([prefix, BEHIND_ALL]) };
}

/** The start of the candle with this key of the store. */
export function startOfOrdered(ordered: Buffer): number {
  let zigzag = 0;
  for (let at = startAt(ordered) + 1; at < ordered.length; at++) zigzag = zigzag * GROUP + (ordered[at]! % GROUP);
  return zigzag / 2;
}

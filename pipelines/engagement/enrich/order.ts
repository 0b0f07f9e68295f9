/**
 * How the store of rows lies on disk: each content together, its rows in the order of their ids. New rows then stand behind one another; in the
 * order of the topic's keys the rows of one batch are strewn over about as many pages as they are.
 */
import { FRAME_BYTES } from '../../../engine/avro/framing.ts';
import { highBytesFirst, lowBytesFirst } from '../../../engine/avro/number-order.ts';
import { cursor, readLength } from '../../../engine/avro/primitives.ts';
import type { StoreOrder } from '../../../engine/view-store.ts';

/** Where the id of the event begins in a key: behind the frame and the content, which the order leaves as they are. */
function idAt(key: Buffer): number {
  const length = readLength(key, FRAME_BYTES, key.length);
  return cursor.at + length;
}

export const ROW_ORDER: StoreOrder = {
  name: 'rows-by-id',
  keyOf: (key) => highBytesFirst(key, idAt(key)),
};

/** The topic's key of a key of the store. */
export function topicKeyOf(ordered: Buffer): Buffer {
  return lowBytesFirst(ordered, idAt(ordered));
}

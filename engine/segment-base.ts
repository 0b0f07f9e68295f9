/** What lies under a segmented store: its entries as bytes, where checkpoints put them, and how their keys are made. */
import { SluiceError } from './errors.ts';

/** How values become bytes; the segment tells kinds of values apart. `decode` must not keep the bytes. */
export interface ValueCodec<V> {
  encode(value: V, segment: string): Uint8Array;
  decode(bytes: Uint8Array, segment: string): V;
}

/** One record of the changelog; a null value is a tombstone. Keys starting with byte 0 never come from a store. */
export interface ChangelogEntry {
  readonly key: Buffer;
  readonly value: Uint8Array | null;
}

/** Where checkpointed entries live. */
export interface SegmentBase {
  get(segment: string, key: string): Uint8Array | undefined;
  scan(segment: string): Iterable<readonly [key: string, value: Uint8Array]>;
  segments(): Iterable<string>;
  write(positions: Readonly<Record<string, string>>, entries: readonly ChangelogEntry[]): void;
  positions(): Readonly<Record<string, string>>;
  wipe(): void;
  close(): Promise<void>;
}

/** `segment \0 key` in UTF-8. */
export function encodeSegmentKey(segment: string, key: string): Buffer {
  return Buffer.from(`${segment}\0${key}`);
}

/** The inverse of `encodeSegmentKey`. Throws CHANGELOG_MALFORMED (fatal) for other keys. */
export function decodeSegmentKey(bytes: Uint8Array): readonly [segment: string, key: string] {
  const cut = bytes.indexOf(0);
  if (cut <= 0)
    throw new SluiceError('A changelog key has no segment', { code: 'CHANGELOG_MALFORMED', action: 'fatal' });
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return [text.toString('utf8', 0, cut), text.toString('utf8', cut + 1)];
}

/** Who gets which partition, and the "consumer" embedded protocol in which members and tools say so. */
import { WireReader, WireWriter } from './wire.ts';

/** What a member says when it joins: the partitions it had. */
export interface Claim {
  readonly memberId: string;
  readonly owned: readonly number[];
}

/**
 * Shares out partitions 0..count-1 evenly (sizes differ by one at most). A claimed partition stays with its member while
 * that member has room; a partition claimed twice (a member that was thought dead) goes to the first by member id. The same
 * claims always give the same answer.
 */
export function share(count: number, claims: readonly Claim[]): ReadonlyMap<string, readonly number[]> {
  const members = claims.map((claim) => claim.memberId).sort();
  const quota = Math.floor(count / members.length);
  let extra = count % members.length;
  const given = new Map<string, number[]>(members.map((member) => [member, []]));
  const free = new Set(Array.from({ length: count }, (_, partition) => partition));
  const ordered = [...claims].sort((a, b) => (a.memberId < b.memberId ? -1 : 1));
  for (const { memberId, owned } of ordered) {
    const mine = given.get(memberId)!;
    for (const partition of [...owned].sort((a, b) => a - b)) {
      if (!free.has(partition)) continue;
      if (mine.length < quota) mine.push(partition);
      else if (mine.length === quota && extra > 0) {
        mine.push(partition);
        extra--;
      } else continue;
      free.delete(partition);
    }
  }
  for (const partition of free) {
    let target = members.find((member) => given.get(member)!.length < quota);
    if (target === undefined) {
      target = members.find((member) => given.get(member)!.length === quota)!;
      extra--;
    }
    given.get(target)!.push(partition);
  }
  return new Map([...given].map(([member, partitions]) => [member, partitions.sort((a, b) => a - b)]));
}

/** Subscription: version, topics, user data (our owned partitions). */
export function encodeClaim(topic: string, owned: readonly number[]): Buffer {
  const data = new WireWriter().array(owned, (w, partition) => w.int32(partition)).finish();
  return new WireWriter()
    .int16(0)
    .array([topic], (w, name) => w.string(name))
    .bytes(data)
    .finish();
}

export function decodeClaim(bytes: Buffer): number[] {
  const reader = new WireReader(bytes);
  reader.int16();
  reader.array((r) => r.string());
  const data = reader.bytes();
  return data.length === 0 ? [] : new WireReader(data).array((r) => r.int32());
}

/** Assignment: version, topic → partitions, user data. */
export function encodeAssignment(topic: string, partitions: readonly number[]): Buffer {
  return new WireWriter()
    .int16(0)
    .array([topic], (w, name) => w.string(name).array(partitions, (p, partition) => p.int32(partition)))
    .bytes(Buffer.alloc(0))
    .finish();
}

export function decodeAssignment(bytes: Buffer): number[] {
  if (bytes.length === 0) return [];
  const reader = new WireReader(bytes);
  reader.int16();
  return reader
    .array((r) => {
      r.string();
      return r.array((p) => p.int32());
    })
    .flat();
}

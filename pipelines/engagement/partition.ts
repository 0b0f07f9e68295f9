/** Where everything about a content is: the partition that the connector's routing gives it. */

const MASK = (1n << 64n) - 1n;
const SEED = 9_001n;

const rotated = (x: bigint, by: bigint): bigint => ((x << by) | (x >> (64n - by))) & MASK;

function mixed(x: bigint): bigint {
  const once = ((x ^ (x >> 33n)) * 0xff51afd7ed558ccdn) & MASK;
  const twice = ((once ^ (once >> 33n)) * 0xc4ceb9fe1a85ec53n) & MASK;
  return twice ^ (twice >> 33n);
}

/**
 * What Debezium's PartitionRouting calls murmur: an early MurmurHash3 for 64 bits (its constants change with each block), of which the
 * high half is kept. For ASCII text, as ids are. No library has it: io.debezium.util.MurmurHash3 in debezium-util 3.7.
 */
export function routingHash(text: string): number {
  const bytes = Buffer.from(text);
  let [h1, h2] = [0x9368e53c2f6af274n ^ SEED, 0x586dcd208f7cd3fdn ^ SEED];
  let [c1, c2] = [0x87c37b91114253d5n, 0x4cf5ad432745937fn];
  for (let at = 0; at < bytes.length; at += 16) {
    const block = Buffer.alloc(16);
    bytes.copy(block, 0, at, at + 16);
    const k1 = block.readBigUInt64LE(0);
    const k2 = block.readBigUInt64LE(8);
    h1 = ((h1 ^ (rotated((k1 * c1) & MASK, 23n) * c2)) + h2) & MASK;
    h2 = rotated(h2, 41n);
    h2 = ((h2 ^ (rotated((k2 * c2) & MASK, 23n) * c1)) + h1) & MASK;
    h1 = (h1 * 3n + 0x52dce729n) & MASK;
    h2 = (h2 * 3n + 0x38495ab5n) & MASK;
    c1 = (c1 * 5n + 0x7b7d159cn) & MASK;
    c2 = (c2 * 5n + 0x6bce6396n) & MASK;
  }
  h2 ^= BigInt(bytes.length);
  h1 = (h1 + h2) & MASK;
  h2 = (h2 + h1) & MASK;
  return Number(BigInt.asIntN(32, ((mixed(h1) + mixed(h2)) & MASK) >> 32n));
}

/** The partition of a content, as the connector's routing computes it. */
export function partitionOf(contentId: string, partitions: number): number {
  return (routingHash(contentId) & 0x7fffffff) % partitions;
}

/** Where everything about a content is. */
import murmurhash from 'murmurhash';

/** The seed of Kafka's own partitioner, which Debezium's PartitionRouting uses. */
const MURMUR_SEED = 0x9747b28c;

/** The partition of a content, as the connector's routing computes it. */
export function partitionOf(contentId: string, partitions: number): number {
  return (murmurhash.v2(contentId, MURMUR_SEED) & 0x7fffffff) % partitions;
}

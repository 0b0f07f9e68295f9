/** The event topic and the routing must agree on the partition count. */
import { SluiceError } from '../../engine/errors.ts';
import { type ConnectorConfig, PARTITION_COUNT_KEY } from './config.ts';

/**
 * Checks at start-up that the routing computes with the partition count that the topic has. With another count, contents
 * would be spread over partitions that their state does not live in.
 *
 * Throws PARTITION_COUNT_MISMATCH or CONNECTOR_NOT_ROUTING, both fatal, with what to do.
 * @param partitionsOf the partition count of a topic, from the broker
 */
export async function checkPartitionCount(
  config: ConnectorConfig,
  topic: string,
  partitionsOf: (topic: string) => Promise<number>,
): Promise<number> {
  const routed = Number(config[PARTITION_COUNT_KEY]);
  if (!Number.isInteger(routed) || routed < 1) {
    throw new SluiceError(
      `The registered connector does not route by content (${PARTITION_COUNT_KEY} = ${config[PARTITION_COUNT_KEY]}). Register it again: npm run connector -- register`,
      { code: 'CONNECTOR_NOT_ROUTING', action: 'fatal' },
    );
  }
  const actual = await partitionsOf(topic);
  if (actual === routed) return actual;
  throw new SluiceError(
    `Topic ${topic} has ${actual} partitions, but the connector routes by ${routed}. ` +
      `Set SLUICE_PARTITIONS=${actual} and run npm run connector -- register; rows that were already routed by ${routed} ` +
      'need a rebuild (delete the topics and the state, then snapshot again).',
    { code: 'PARTITION_COUNT_MISMATCH', action: 'fatal' },
  );
}

/** The routed topics and the routing must agree on the partition count. */
import { SluiceError } from '../../engine/errors.ts';
import { type CapturedTable, type ConnectorConfig, partitionCountKey, topicOf } from './config.ts';

/**
 * Checks at start-up that the routing of a table computes with the partition count that its topic has. With another count, rows
 * would be spread over partitions that their state does not live in.
 *
 * Throws PARTITION_COUNT_MISMATCH or CONNECTOR_NOT_ROUTING, both fatal, with what to do.
 * @param partitionsOf the partition count of a topic, from the broker
 */
export async function checkPartitionCount(
  config: ConnectorConfig,
  table: CapturedTable,
  partitionsOf: (topic: string) => Promise<number>,
): Promise<number> {
  const key = partitionCountKey(table);
  const routed = Number(config[key]);
  if (!Number.isInteger(routed) || routed < 1) {
    throw new SluiceError(
      `The registered connector does not route ${table.name} by ${table.routeBy} (${key} = ${config[key]}). Register it again: npm run connector -- register`,
      { code: 'CONNECTOR_NOT_ROUTING', action: 'fatal' },
    );
  }
  const topic = topicOf(table);
  const actual = await partitionsOf(topic);
  if (actual === routed) return actual;
  throw new SluiceError(
    `Topic ${topic} has ${actual} partitions, but the connector routes by ${routed}. ` +
      `Set SLUICE_PARTITIONS=${actual} and run npm run connector -- register; rows that were already routed by ${routed} ` +
      'need a rebuild (delete the topics and the state, then snapshot again).',
    { code: 'PARTITION_COUNT_MISMATCH', action: 'fatal' },
  );
}

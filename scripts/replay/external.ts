/** `npm run replay -- --sink external`. */
import { KafkaClient } from '../../connectors/kafka/client.ts';
import { SluiceError } from '../../engine/errors.ts';
import { type Config, kafkaOptions } from '../../pipelines/config.ts';
import { EVENTS_V1, MIRROR } from '../../pipelines/engagement/topics.ts';
import { mirrorRange, rewindMirror, untilMirrored } from '../../pipelines/operations/replay/mirror.ts';
import { runOperation } from '../support/operation.ts';
import type { ReplayOptions } from './options.ts';

function brokersOf({ SLUICE_MIRROR_KAFKA_BROKERS: brokers }: Config): readonly string[] {
  if (brokers.length > 0) return brokers;
  throw new SluiceError(
    `${EVENTS_V1} is on this cluster, and is itself what everything else is rebuilt from: a reader starts over by resetting its own offsets. ` +
      'Records that are missing or wrong are mended by npm run reconcile -- --repair',
    { code: 'REPLAY_NOT_NEEDED', action: 'fatal' },
  );
}

export async function replayExternal(options: ReplayOptions): Promise<void> {
  await runOperation({
    command: 'replay external',
    arguments: { ...options },
    flags: options,
    unit: 'offsets',
    plan: async ({ config }) => {
      brokersOf(config);
      const range = await mirrorRange(kafkaOptions(config, 'sluice-replay'), EVENTS_V1, options.from ?? null);
      const offsets = [...range.values()].reduce((sum, { from, end }) => sum + Number(end - from), 0);
      return {
        data: range,
        lines: [
          `Copies ${EVENTS_V1} to the other cluster again${options.from === undefined ? '' : ` from ${options.from.toISOString()} on`}: ${offsets} offsets.`,
          `${MIRROR} does it: with its next record if it runs, else when it is started. Readers there see each record again, in order.`,
        ],
        report: { offsets },
        nothing: offsets === 0,
      };
    },
    execute: async (range, { config, signal, progress }) => {
      const target = new KafkaClient({ ...kafkaOptions(config, 'sluice-replay'), brokers: brokersOf(config) });
      try {
        await rewindMirror(target, { name: MIRROR, topic: EVENTS_V1, range });
        const copied = await untilMirrored(target, {
          ...{ name: MIRROR, topic: EVENTS_V1, range, signal, deadlineMs: options.deadline * 1_000 },
          progress: (done, total) => progress.update(done, total),
        });
        return { lines: [`${copied} offsets copied again.`], report: { copied }, complete: true };
      } finally {
        await target.close();
      }
    },
  });
}

/** One probe for each system but Kafka. Each asks what only the system itself can tell. */
import { statfs } from 'node:fs/promises';
import { type ClickHouseConfig, clickHouseClient, selectRows } from '../../../connectors/clickhouse/client.ts';
import { ConnectApi } from '../../../connectors/debezium/connect-api.ts';
import { isRunning } from '../../../connectors/debezium/status.ts';
import { PostgresPool } from '../../../connectors/postgres/pool.ts';
import { redisClient } from '../../../connectors/redis/client.ts';
import { stampsOf } from '../../../connectors/redis/reader.ts';
import { RegistryHttp } from '../../../connectors/registry/http.ts';
import type { Sample } from './metrics.ts';
import type { MonitoredPipeline, MonitoredSource } from './monitored.ts';
import type { Probe } from './probe.ts';

/** Of one request: shorter than a poll's deadline, so that the client's own error is what is logged. */
const REQUEST_TIMEOUT_MS = 5_000;

const flag = (value: boolean): number => (value ? 1 : 0);

const SLOT_QUERY = `
  SELECT active, wal_status IS DISTINCT FROM 'lost' AS usable,
         greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint AS retained
  FROM pg_replication_slots WHERE slot_name = $1`;

interface SlotRow {
  readonly active: boolean;
  readonly usable: boolean;
  /** Null when the slot has lost its position. */
  readonly retained: bigint | null;
}

/** Needs a role that may log in, and no more. */
export function postgresProbe(url: string, slot: string): Probe {
  return {
    system: 'postgres',
    open: () => {
      const pool = new PostgresPool({
        url,
        applicationName: 'sluice.monitor',
        maxConnections: 1,
        connectTimeoutMs: REQUEST_TIMEOUT_MS,
        statementTimeoutMs: REQUEST_TIMEOUT_MS,
      });
      return {
        async poll() {
          const { rows } = await pool.query<SlotRow>(SLOT_QUERY, [slot]);
          return slotSamples(slot, rows[0]);
        },
        close: () => pool.close(),
      };
    },
  };
}

export function slotSamples(slot: string, row: SlotRow | undefined): readonly Sample[] {
  const labels = { slot };
  const samples: Sample[] = [
    { metric: 'sluice_slot_usable', labels, value: flag(row?.usable === true && row.retained !== null) },
    { metric: 'sluice_slot_active', labels, value: flag(row?.active === true) },
  ];
  if (row !== undefined && row.retained !== null) {
    samples.push({ metric: 'sluice_slot_retained_wal_bytes', labels, value: Number(row.retained) });
  }
  return samples;
}

export function connectProbe(url: string, connector: string): Probe {
  return {
    system: 'connect',
    open: () => {
      const api = new ConnectApi(url);
      return {
        async poll() {
          const status = await api.status(connector);
          return [
            {
              metric: 'sluice_connector_running',
              labels: { connector },
              value: flag(status !== null && isRunning(status)),
            },
            ...(status?.tasks ?? []).map(({ id, state }): Sample => {
              const labels = { connector, task: String(id) };
              return { metric: 'sluice_connector_task_running', labels, value: flag(state === 'RUNNING') };
            }),
          ];
        },
        close: async () => {},
      };
    },
  };
}

export function registryProbe(url: string): Probe {
  return {
    system: 'registry',
    open: () => {
      const http = new RegistryHttp({ url, timeoutMs: REQUEST_TIMEOUT_MS, attempts: 1 });
      return {
        async poll() {
          await http.send('GET', '/config');
          return [];
        },
        close: async () => {},
      };
    },
  };
}

/** Reads one view: a ClickHouse user that may select from `sluice_freshness` is enough. */
export function clickHouseProbe(config: ClickHouseConfig, pipelines: readonly MonitoredPipeline[]): Probe {
  const pipelineOf = new Map(pipelines.flatMap(({ name, clickHouseSinks }) => clickHouseSinks.map((s) => [s, name])));
  return {
    system: 'clickhouse',
    open: () => {
      const client = clickHouseClient({ ...config, requestTimeoutMs: REQUEST_TIMEOUT_MS, maxConnections: 1 });
      return {
        async poll() {
          const rows = await selectRows<{ sink: string; partition: number; as_of_ms: string }>(
            client,
            `SELECT pipeline AS sink, partition, toUnixTimestamp64Milli(stream_time) AS as_of_ms
             FROM sluice_freshness WHERE pipeline IN {sinks:Array(String)} AND as_of_ms > 0`,
            { sinks: [...pipelineOf.keys()] },
          );
          return rows.map(({ sink, partition, as_of_ms }) =>
            asOf(pipelineOf.get(sink)!, sink, partition, Number(as_of_ms)),
          );
        },
        close: () => client.close(),
      };
    },
  };
}

export function redisProbe(url: string, sources: readonly MonitoredSource[]): Probe {
  return {
    system: 'redis',
    open: () => {
      const client = redisClient({ url, commandTimeoutMs: REQUEST_TIMEOUT_MS });
      let connected: Promise<void> | null = null;
      return {
        async poll() {
          connected ??= client.connect();
          await connected;
          const samples: Sample[] = [];
          for (const { name: pipeline, redisSinks } of sources.map((source) => source.pipeline)) {
            for (const { name: sink, stamps } of redisSinks) {
              const hashes = await client.hashes(stamps);
              const oldest = oldestStamps(hashes.map((fields) => stampsOf(fields).stamps));
              for (const [partition, ms] of oldest) samples.push(asOf(pipeline, sink, partition, ms));
            }
          }
          return samples;
        },
        close: () => client.close(),
      };
    },
  };
}

/** Of each partition the stream time of what is furthest behind. */
export function oldestStamps(
  readings: readonly ReadonlyMap<number, Readonly<Record<string, string>>>[],
): ReadonlyMap<number, number> {
  const oldest = new Map<number, number>();
  for (const stamps of readings) {
    for (const [partition, { stream_time: text }] of stamps) {
      if (text === undefined) continue;
      oldest.set(partition, Math.min(Number(text), oldest.get(partition) ?? Number.POSITIVE_INFINITY));
    }
  }
  return oldest;
}

function asOf(pipeline: string, sink: string, partition: number, ms: number): Sample {
  return {
    metric: 'sluice_sink_as_of_seconds',
    labels: { pipeline, sink, partition: String(partition) },
    value: ms / 1_000,
  };
}

/** Free space where the data lies. */
export function diskProbe(folders: readonly string[]): Probe {
  return {
    system: 'disk',
    open: () => ({
      async poll() {
        const found = await Promise.all(
          folders.map(async (folder): Promise<readonly Sample[]> => {
            const { bavail, blocks, bsize } = await statfs(folder);
            const labels = { folder };
            return [
              { metric: 'sluice_disk_free_bytes', labels, value: bavail * bsize },
              { metric: 'sluice_disk_size_bytes', labels, value: blocks * bsize },
            ];
          }),
        );
        return found.flat();
      },
      close: async () => {},
    }),
  };
}

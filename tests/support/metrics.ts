/** Every metric that a process of Sluice can have, as the code declares it. */
import type { Metric, Registry } from 'prom-client';
import { HealthServer } from '../../engine/health.ts';
import { WorkerMetrics } from '../../engine/metrics.ts';
import { MonitorMetrics } from '../../pipelines/operations/monitor/metrics.ts';
import { GatewayMetrics } from '../../pipelines/prices/gateway/metrics.ts';

type Declared = Metric & { readonly labelNames: readonly string[]; readonly type: string; readonly name: string };

/** By name. */
export function allMetrics(): ReadonlyMap<string, Declared> {
  const worker = new WorkerMetrics('w', () => [], { state: 'closed', openMs: 0 });
  new HealthServer('w', worker.registry, () => ({ ready: true, reason: '' }));
  const idle = { connections: () => 0, subscriptions: () => 0, series: () => 0, progress: () => [] };
  const of = (registry: Registry) => registry.getMetricsAsArray() as never[];
  const registries = [worker.registry, new MonitorMetrics().registry, new GatewayMetrics('g', idle).registry];
  return new Map(registries.flatMap(of).map((metric: { name: string }) => [metric.name, metric as never]));
}

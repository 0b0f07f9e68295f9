/** What a gateway measures. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { DROPS, type Drop, REFUSED, type Refusal } from '../../../connectors/websocket/server.ts';
import { progressGauges, type TaskView } from '../../../engine/metrics.ts';
import type { FrameError } from './protocol.ts';
import type { SessionCounters } from './session.ts';

/** What the gauges read when they are scraped. */
export interface GatewayView {
  readonly connections: () => number;
  readonly subscriptions: () => number;
  readonly series: () => number;
  readonly progress: () => readonly TaskView[];
}

export class GatewayMetrics implements SessionCounters {
  readonly registry = new Registry();
  readonly #worker: string;
  readonly #values: Counter;
  readonly #conflated: Counter;
  readonly #errors: Counter;
  readonly #refused: Counter;
  readonly #dropped: Counter;
  readonly #undecodable: Counter;
  readonly #retries: Counter;
  readonly #delay: Histogram;

  constructor(worker: string, view: GatewayView) {
    this.#worker = worker;
    collectDefaultMetrics({ register: this.registry, prefix: 'sluice_' });
    progressGauges(this.registry, worker, view.progress);
    this.#gauge('sluice_feed_connections', 'Clients that are connected', view.connections);
    this.#gauge('sluice_feed_subscriptions', 'Subscriptions of all clients', view.subscriptions);
    this.#gauge('sluice_feed_series', 'Series (symbol and interval) in memory', view.series);
    this.#values = this.#counter('sluice_feed_values_total', 'Values given to the connections of clients');
    this.#conflated = this.#counter(
      'sluice_feed_conflated_total',
      'Values that a slow client will not see, since a newer one took their place',
    );
    this.#errors = this.#counter('sluice_feed_errors_total', 'Error frames sent, by code', 'code');
    this.#refused = this.#counter('sluice_feed_refused_total', 'Connections not accepted, by reason', 'reason');
    this.#dropped = this.#counter('sluice_feed_dropped_total', 'Connections cut off, by reason', 'reason');
    this.#undecodable = this.#counter('sluice_feed_undecodable_total', 'Records passed over: they cannot be decoded');
    // From 0 on, so that the first one of a kind is an increase too.
    for (const counter of [this.#values, this.#conflated, this.#undecodable]) counter.inc({ worker }, 0);
    for (const reason of REFUSED) this.#refused.inc({ worker, reason }, 0);
    for (const reason of DROPS) this.#dropped.inc({ worker, reason }, 0);
    this.#retries = this.#counter('sluice_retries_total', 'Tries again after an error, by its code', 'reason');
    this.#delay = new Histogram({
      name: 'sluice_feed_delay_seconds',
      help: 'From commit in Postgres to the gateway, of the records read since it caught up',
      labelNames: ['worker'],
      registers: [this.registry],
      buckets: [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60],
    });
    this.#delay.zero({ worker });
  }

  sent(): void {
    this.#values.inc({ worker: this.#worker });
  }

  conflated(): void {
    this.#conflated.inc({ worker: this.#worker });
  }

  error(code: FrameError): void {
    this.#errors.inc({ worker: this.#worker, code });
  }

  refused(reason: Refusal): void {
    this.#refused.inc({ worker: this.#worker, reason });
  }

  dropped(reason: Drop): void {
    this.#dropped.inc({ worker: this.#worker, reason });
  }

  undecodable(): void {
    this.#undecodable.inc({ worker: this.#worker });
  }

  retried(reason: string): void {
    this.#retries.inc({ worker: this.#worker, reason });
  }

  delay(seconds: number): void {
    this.#delay.observe({ worker: this.#worker }, Math.max(0, seconds));
  }

  #counter(name: string, help: string, ...labels: readonly string[]): Counter {
    return new Counter({ name, help, labelNames: ['worker', ...labels], registers: [this.registry] });
  }

  #gauge(name: string, help: string, value: () => number): void {
    const worker = this.#worker;
    new Gauge({
      ...{ name, help, labelNames: ['worker'], registers: [this.registry] },
      collect() {
        this.set({ worker }, value());
      },
    });
  }
}

/** The dashboards of Grafana name only what there is. What they ask of ClickHouse is run by tests/integration/clickhouse/examples.test.ts. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { provideTool } from '../../../infra/native/tools.ts';
import { metricsIn, runTool } from '../../support/alert-rules.ts';
import { dashboards, GRAFANA_FOLDER, type Panel } from '../../support/dashboards.ts';
import { allMetrics } from '../../support/metrics.ts';

const all = dashboards();
const panels = all.flatMap((dashboard) => dashboard.panels);
const expressions = panels.flatMap(({ targets = [] }) =>
  targets.flatMap(({ expr }) => (expr === undefined ? [] : [expr])),
);

beforeAll(async () => {
  await provideTool('prometheus', () => {});
}, 300_000);

const overlap = (a: Panel['gridPos'], b: Panel['gridPos']) =>
  a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

describe('the dashboards', () => {
  it('ask only sources that are provisioned, by uid and type', () => {
    const { datasources } = parse(
      readFileSync(join(GRAFANA_FOLDER, 'provisioning/datasources/sluice.yaml'), 'utf8'),
    ) as {
      readonly datasources: readonly { readonly uid: string; readonly type: string }[];
    };
    const known = datasources.map(({ uid, type }) => `${uid} ${type}`);
    const asked = panels.flatMap(({ datasource, targets = [] }) => [
      datasource,
      ...targets.map((one) => one.datasource),
    ]);
    expect(new Set(asked.flatMap((one) => (one === undefined ? [] : [`${one.uid} ${one.type}`])))).toEqual(
      new Set(known),
    );
  });

  it('name only metrics that the code has, in expressions that Prometheus accepts', () => {
    expect(expressions.length).toBeGreaterThan(25);
    const metrics = allMetrics();
    const variables = all.flatMap(({ templating }) => templating.list.map(({ query }) => query.query));
    expect(metricsIn([...expressions, ...variables]).filter((name) => !metrics.has(name))).toEqual([]);
    const folder = mkdtempSync(join(tmpdir(), 'sluice-dashboards-'));
    try {
      const rules = expressions.map((expr, index) => ({
        record: `panel_${index}`,
        expr: expr.replaceAll('$pipeline', '.*'),
      }));
      writeFileSync(join(folder, 'panels.yml'), stringify({ groups: [{ name: 'panels', rules }] }));
      const { status, text } = runTool('promtool', 'check', 'rules', join(folder, 'panels.yml'));
      expect(status, text).toBe(0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('group and name only by labels that their metrics have', () => {
    const metrics = allMetrics();
    // Prometheus adds where it scraped, and whom.
    const added = ['instance', 'job', 'worker', 'le'];
    for (const expr of expressions) {
      const labels = new Set([...metricsIn([expr]).flatMap((name) => metrics.get(name)!.labelNames), ...added]);
      const grouped = [...expr.matchAll(/\bby \(([^)]+)\)/g)].flatMap(([, names]) => names!.split(', '));
      expect(
        grouped.filter((name) => !labels.has(name)),
        expr,
      ).toEqual([]);
    }
  });

  it.each(all.map((dashboard) => [dashboard.title, dashboard] as const))(
    '%s: panels have their own id and place',
    (_, one) => {
      expect(new Set(one.panels.map(({ id }) => id)).size).toBe(one.panels.length);
      for (const [index, a] of one.panels.entries()) {
        expect(a.gridPos.x + a.gridPos.w).toBeLessThanOrEqual(24);
        for (const b of one.panels.slice(index + 1)) {
          expect(overlap(a.gridPos, b.gridPos), `${a.title} and ${b.title}`).toBe(false);
        }
      }
    },
  );

  it('show what an operator looks for', () => {
    const named = metricsIn(expressions);
    for (const name of [
      'sluice_sink_as_of_seconds',
      'sluice_group_lag_records',
      'sluice_records_total',
      'sluice_dlq_letters',
      'sluice_breaker_state',
      'sluice_slot_retained_wal_bytes',
      'sluice_feed_delay_seconds',
    ]) {
      expect(named).toContain(name);
    }
  });
});

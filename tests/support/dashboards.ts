/** The dashboards of Grafana as data. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const GRAFANA_FOLDER = join(import.meta.dirname, '../../infra/grafana');

interface Source {
  readonly type: string;
  readonly uid: string;
}

export interface Target {
  readonly datasource: Source;
  readonly expr?: string;
  readonly rawSql?: string;
}

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly datasource?: Source;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly Target[];
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly query: { readonly query: string } }[];
  };
}

export function dashboards(): readonly Dashboard[] {
  const folder = join(GRAFANA_FOLDER, 'dashboards');
  return readdirSync(folder).map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as Dashboard);
}

/** What the panels ask of ClickHouse. */
export function clickHousePanels(): readonly { readonly title: string; readonly sql: string }[] {
  return dashboards().flatMap(({ panels }) =>
    panels.flatMap(({ title, targets = [] }) =>
      targets.flatMap(({ rawSql }) => (rawSql === undefined ? [] : [{ title, sql: rawSql }])),
    ),
  );
}

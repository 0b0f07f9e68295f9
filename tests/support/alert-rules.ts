/** The alert rules as data. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

export const RULES_FOLDER = join(import.meta.dirname, '../../infra/prometheus');

interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export function alertRules(): readonly AlertRule[] {
  const text = readFileSync(join(RULES_FOLDER, 'rules.yml'), 'utf8');
  const { groups } = parse(text) as { readonly groups: readonly { readonly rules: readonly AlertRule[] }[] };
  return groups.flatMap(({ rules }) => rules);
}

/** Every metric of ours that the expressions name; a histogram by its own name. */
export function metricsIn(expressions: readonly string[]): readonly string[] {
  const names = expressions.flatMap((text) => text.match(/\bsluice_\w+/g) ?? []);
  return [...new Set(names.map((name) => name.replace(/_bucket$/, '')))].sort();
}

/** Every metric of ours that a rule names. */
export function ruleMetrics(): readonly string[] {
  return metricsIn(alertRules().map(({ expr }) => expr));
}

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

/** Every metric of ours that a rule names. */
export function ruleMetrics(): readonly string[] {
  const names = alertRules().flatMap(({ expr }) => expr.match(/\bsluice_\w+/g) ?? []);
  return [...new Set(names)].sort();
}

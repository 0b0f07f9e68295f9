/** The alert rules as data, and the tools that judge them. */
import { spawnSync } from 'node:child_process';
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

/** Runs a tool of Prometheus or Alertmanager beside the rules. */
export function runTool(
  tool: 'promtool' | 'amtool',
  ...args: readonly string[]
): { readonly status: number | null; readonly text: string } {
  const { status, stdout, stderr } = spawnSync(tool, args, { encoding: 'utf8', cwd: RULES_FOLDER, timeout: 60_000 });
  return { status, text: stdout + stderr };
}

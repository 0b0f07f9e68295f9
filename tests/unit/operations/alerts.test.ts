/** The alerts, their runbooks, and the metrics they name belong together. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { renderAlertmanager } from '../../../infra/native/alerting.ts';
import { provideTool } from '../../../infra/native/tools.ts';
import { GatewayMetrics } from '../../../pipelines/prices/gateway/metrics.ts';
import { alertRules, RULES_FOLDER, ruleMetrics, runTool } from '../../support/alert-rules.ts';
import { allMetrics } from '../../support/metrics.ts';

const ROOT = join(import.meta.dirname, '../../..');
const RUNBOOKS = join(ROOT, 'docs/runbooks');

const isNodes = (name: string) => /^sluice_(process|nodejs)_/.test(name);

/** Installs them where it may; else the tests fail with how to, they are not left out. */
beforeAll(async () => {
  for (const tool of ['prometheus', 'alertmanager'] as const) await provideTool(tool, () => {});
}, 300_000);

describe('the alert rules', () => {
  it('fire and do not fire as their cases say', () => {
    const { status, text } = runTool('promtool', 'test', 'rules', 'rules.test.yml');
    expect(text).toContain('SUCCESS');
    expect(status, text).toBe(0);
  });

  it('have a case for each alert', () => {
    const cases = readFileSync(join(RULES_FOLDER, 'rules.test.yml'), 'utf8');
    for (const { alert } of alertRules()) {
      // Once with nothing, once with something.
      const checks = cases.split('- eval_time').filter((check) => check.includes(`alertname="${alert}"`));
      expect(
        checks.some((check) => check.includes('exp_samples: []')),
        alert,
      ).toBe(true);
      expect(
        checks.some((check) => check.includes('value: 1')),
        alert,
      ).toBe(true);
    }
  });

  it.each([
    ['rules.yml', ['check', 'rules', 'rules.yml']],
    ['prometheus.yml', ['check', 'config', 'prometheus.yml']],
  ])('%s is what Prometheus accepts', (_, args) => {
    const { status, text } = runTool('promtool', ...args);
    expect(status, text).toBe(0);
  });

  it('say what, where, how bad, and which page to read', () => {
    expect(alertRules().length).toBeGreaterThan(10);
    for (const { alert, labels, annotations } of alertRules()) {
      expect(alert).toMatch(/^Sluice[A-Z][A-Za-z]+$/);
      expect(['critical', 'warning'], alert).toContain(labels.severity);
      expect(annotations, alert).toEqual({
        summary: expect.stringMatching(/\w+/),
        description: expect.stringMatching(/\w+/),
        runbook_url: `docs/runbooks/${alert}.md`,
      });
    }
  });

  it('name only metrics that the code has', () => {
    const metrics = allMetrics();
    expect(ruleMetrics().filter((name) => !metrics.has(name))).toEqual([]);
  });

  it('have one page each, and every page of an alert has its alert', () => {
    const pages = readdirSync(RUNBOOKS).filter((name) => name.startsWith('Sluice'));
    expect(pages.sort()).toEqual(
      alertRules()
        .map(({ alert }) => `${alert}.md`)
        .sort(),
    );
    for (const page of pages) {
      const text = readFileSync(join(RUNBOOKS, page), 'utf8');
      for (const part of ['What it means', 'What users see', 'Look here', 'Do this', 'It is over when']) {
        expect(text, page).toContain(`## ${part}\n`);
      }
    }
  });
});

describe('the notifier', () => {
  const template = readFileSync(join(RULES_FOLDER, 'alertmanager.yml'), 'utf8');

  it('has no address in git, and the one given where Alertmanager wants it, whatever is in it', () => {
    expect(template).not.toMatch(/https?:\/\//);
    const url = 'https://hooks.example/a?b=$&c="1"';
    expect(renderAlertmanager(template, url)).toContain(`url: ${JSON.stringify(url)}`);
  });

  it('is configured as Alertmanager accepts it', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-alertmanager-'));
    try {
      const file = join(folder, 'alertmanager.yml');
      writeFileSync(file, renderAlertmanager(template, 'http://127.0.0.1:9/'));
      const { status, text } = runTool('amtool', 'check-config', file);
      expect(status, text).toBe(0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('inhibits only alerts that there are', () => {
    const names = new Set(alertRules().map(({ alert }) => alert));
    const named = template.match(/\bSluice\w+/g) ?? [];
    expect(named.filter((name) => name !== 'Sluice' && !names.has(name))).toEqual([]);
  });
});

it('every series of a gateway that a rule names is there before the first event', async () => {
  const idle = { connections: () => 0, subscriptions: () => 0, series: () => 0, progress: () => [] };
  const page = await new GatewayMetrics('g', idle).registry.metrics();
  const named = ruleMetrics().filter((name) => name.startsWith('sluice_feed_'));
  expect(named.length).toBeGreaterThan(3);
  for (const name of named)
    expect(page, name).toMatch(new RegExp(`^${name}(_bucket)?\\{worker="g"|^${name}_bucket\\{le=`, 'm'));
});

it('docs/metrics.md lists every metric as the code has it', () => {
  const text = readFileSync(join(ROOT, 'docs/metrics.md'), 'utf8');
  const rows = [...text.matchAll(/^\| `(sluice_\w+)` \| (\w+) \| ([^|]*) \|/gm)].map(
    ([, name, type, labels]) => `${name} ${type} ${labels === '–' ? '' : labels}`,
  );
  const metrics = [...allMetrics().values()]
    .filter(({ name }) => !isNodes(name))
    .map(({ name, type, labelNames }) => `${name} ${type} ${labelNames.join(', ')}`);
  expect(rows.sort()).toEqual(metrics.sort());
});

/** `npm run alerting`: Prometheus and Alertmanager beside a started Sluice, until Ctrl-C. */
import { once } from 'node:events';
import { Command } from 'commander';
import { startAlerting } from '../infra/native/alerting.ts';
import { describe, StackError } from '../infra/native/error.ts';
import { portsOf, stackPlace } from '../infra/native/layout.ts';
import { type Alert, startReceiver } from './alerting/receiver.ts';
import { endForCertain } from './support/ending.ts';

function print({ status, labels, annotations }: Alert): void {
  const where = annotations.runbook_url === undefined ? '' : ` (${annotations.runbook_url})`;
  console.log(`${new Date().toISOString()} ${status} ${labels.alertname}: ${annotations.summary ?? ''}${where}`);
}

async function main({ echo }: { readonly echo: boolean }): Promise<void> {
  const given = process.env.SLUICE_ALERT_WEBHOOK_URL;
  if (!echo && !given) {
    throw new StackError(
      'WEBHOOK_MISSING',
      'SLUICE_ALERT_WEBHOOK_URL is not set: nobody would hear an alert.',
      'Set it to the address that gets notifications, or pass --echo to see them here.',
    );
  }
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stopping.abort());
  const { home, portBase } = stackPlace(process.env);
  const receiver = echo ? await startReceiver(print) : null;
  try {
    const alerting = await startAlerting({
      home,
      ports: portsOf(portBase),
      webhookUrl: receiver?.url ?? given ?? '',
      say: (text) => console.log(text),
      onChange: ({ name, state, detail }) => console.log(`${name}: ${state}${detail === null ? '' : ` (${detail})`}`),
    });
    console.log(`Prometheus ${alerting.prometheusUrl}   Alertmanager ${alerting.alertmanagerUrl}   Ctrl-C stops both.`);
    if (!stopping.signal.aborted) await once(stopping.signal, 'abort');
    await alerting.stop();
  } finally {
    await receiver?.close();
  }
}

const program = new Command('alerting')
  .description('Run Prometheus and Alertmanager with infra/prometheus against the workers that npm start runs.')
  .option('--echo', 'print notifications here instead of sending them to SLUICE_ALERT_WEBHOOK_URL', false)
  .addHelpText(
    'after',
    '\nExamples:\n  npm run alerting -- --echo\n  SLUICE_ALERT_WEBHOOK_URL=https://hooks.example/abc npm run alerting',
  )
  .action(main);

endForCertain();
try {
  await program.parseAsync();
} catch (error) {
  console.error(describe(error));
  process.exitCode = 2;
}

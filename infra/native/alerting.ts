/** Prometheus and Alertmanager on loopback with the configuration of infra/prometheus, as supervised children. */
import { copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from './layout.ts';
import { takeLock } from './lock.ts';
import { httpOk } from './probe.ts';
import { type ProcessSpec, type ProcessStatus, SupervisedProcess } from './process.ts';
import { startReaper } from './reaper.ts';
import { cleanEnvironment } from './service.ts';
import { provideTool } from './tools.ts';

/** Who serves /metrics where. */
export interface ScrapeTarget {
  readonly worker: string;
  readonly port: number;
}

export interface AlertingOptions {
  readonly home: string;
  readonly ports: { readonly prometheus: number; readonly alertmanager: number };
  /** Gets every notification; may carry a secret, so it is written to a file that only we can read. */
  readonly webhookUrl: string;
  /** Another copy of infra/prometheus. */
  readonly config?: string;
  /** What is done before they are up, e.g. installing them. */
  readonly say?: (text: string) => void;
  readonly onChange?: (status: ProcessStatus) => void;
}

export interface Alerting {
  readonly prometheusUrl: string;
  readonly alertmanagerUrl: string;
  stop(): Promise<void>;
}

const folderOf = (home: string) => join(home, 'alerting');

/** Tells Prometheus whom to scrape; it notices by itself. */
export function writeTargets(home: string, targets: readonly ScrapeTarget[]): void {
  mkdirSync(folderOf(home), { recursive: true });
  const groups = targets.map(({ worker, port }) => ({ targets: [`127.0.0.1:${port}`], labels: { worker } }));
  replace(join(folderOf(home), 'targets.json'), JSON.stringify(groups, null, 2));
}

/** The address of a webhook in the place of the file that a container reads it from: Alertmanager takes no environment variable. */
export function renderAlertmanager(text: string, webhookUrl: string): string {
  return text.replace(/\burl_file: \S+/g, () => `url: ${JSON.stringify(webhookUrl)}`);
}

/** Throws TOOL_MISSING, INSTALL_FAILED, ALREADY_RUNNING, SERVICE_FAILED. */
export async function startAlerting(options: AlertingOptions): Promise<Alerting> {
  const { home, ports } = options;
  const say = options.say ?? (() => {});
  const prometheus = await provideTool('prometheus', say);
  const alertmanager = await provideTool('alertmanager', say);
  const folder = folderOf(home);
  const logs = join(home, 'logs');
  for (const path of [folder, logs]) mkdirSync(path, { recursive: true });
  const release = await takeLock(join(folder, 'alerting.lock'), 'Alerting in this folder');
  layOut(folder, options);
  const reaper = startReaper(join(folder, 'alerting.lock'));
  const supervised = (spec: Pick<ProcessSpec, 'name' | 'command' | 'args'>, url: string) =>
    new SupervisedProcess(
      {
        ...spec,
        env: cleanEnvironment(),
        cwd: folder,
        logFile: join(logs, `${spec.name}.log`),
        ready: () => httpOk(`${url}/-/ready`),
        readyTimeoutMs: 30_000,
        stopSignal: 'SIGTERM',
        stopTimeoutMs: 15_000,
      },
      reaper,
      options.onChange ?? (() => {}),
    );
  const prometheusUrl = `http://127.0.0.1:${ports.prometheus}`;
  const alertmanagerUrl = `http://127.0.0.1:${ports.alertmanager}`;
  const processes = [
    supervised(
      {
        name: 'alertmanager',
        command: alertmanager,
        args: [
          `--config.file=${join(folder, 'alertmanager.yml')}`,
          `--storage.path=${join(folder, 'alertmanager')}`,
          `--web.listen-address=127.0.0.1:${ports.alertmanager}`,
          // One instance: no gossip, no port for it.
          '--cluster.listen-address=',
        ],
      },
      alertmanagerUrl,
    ),
    supervised(
      {
        name: 'prometheus',
        command: prometheus,
        args: [
          `--config.file=${join(folder, 'prometheus.yml')}`,
          `--storage.tsdb.path=${join(folder, 'prometheus')}`,
          '--storage.tsdb.retention.time=15d',
          `--web.listen-address=127.0.0.1:${ports.prometheus}`,
        ],
      },
      prometheusUrl,
    ),
  ];
  const stop = async () => {
    await Promise.all(processes.map((process) => process.stop()));
    await reaper.close();
    release();
  };
  try {
    await Promise.all(processes.map((process) => process.start()));
  } catch (error) {
    await stop();
    throw error;
  }
  return { prometheusUrl, alertmanagerUrl, stop };
}

function layOut(folder: string, { config, ports, webhookUrl }: AlertingOptions): void {
  const from = config ?? join(REPOSITORY, 'infra', 'prometheus');
  for (const name of ['prometheus.yml', 'rules.yml']) copyFileSync(join(from, name), join(folder, name));
  const text = readFileSync(join(from, 'alertmanager.yml'), 'utf8');
  replace(join(folder, 'alertmanager.yml'), renderAlertmanager(text, webhookUrl));
  const managers = [{ targets: [`127.0.0.1:${ports.alertmanager}`] }];
  replace(join(folder, 'alertmanagers.json'), JSON.stringify(managers));
}

/** Whoever reads the file sees the old text or the new one. */
function replace(path: string, text: string): void {
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, text, { mode: 0o600 });
  renameSync(draft, path);
}

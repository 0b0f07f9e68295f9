/** What every server of the stack declares. */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Layout, PortName, Service } from './layout.ts';
import type { ProcessSpec } from './process.ts';

export interface Place extends Layout {
  /** Folder with the servers that Maven laid out. */
  readonly jars: string;
  /** The java to run them with. */
  readonly java: string;
}

export interface ServerDeclaration {
  readonly service: Service;
  readonly ports: readonly PortName[];
  /** Servers that must answer before this one can be ready. They are still started at the same time. */
  readonly needs: readonly Service[];
  /** Writes configuration and makes data folders; harmless when repeated. */
  prepare(place: Place): Promise<void>;
  spec(place: Place): ProcessSpec;
  /** Once the server first answers. */
  afterStart?(place: Place): Promise<void>;
}

/** Our environment without what would change a server behind our back. */
export function cleanEnvironment(extra: Readonly<Record<string, string>> = {}): Record<string, string | undefined> {
  const { NODE_OPTIONS: _node, JAVA_TOOL_OPTIONS: _java, CLASSPATH: _classpath, ...rest } = process.env;
  return { ...rest, ...extra };
}

const temporary = ({ home }: Place, service: Service) => join(home, 'tmp', service);

/** An empty folder for what a JVM unpacks. One that is killed leaves it behind, for the next start to clear. */
export function prepareTemporary(place: Place, service: Service): void {
  rmSync(temporary(place, service), { recursive: true, force: true });
  mkdirSync(temporary(place, service), { recursive: true });
}

/**
 * Options of every JVM: nothing of it is left in the system's temporary folder, however it ends. Behind them those of `SLUICE_JAVA_OPTIONS`: a stack that
 * lives for minutes is better off without the second compiler.
 */
export function javaOptions(place: Place, service: Service): readonly string[] {
  const more = (process.env.SLUICE_JAVA_OPTIONS ?? '').split(' ').filter((option) => option !== '');
  return [`-Djava.io.tmpdir=${temporary(place, service)}`, '-XX:-UsePerfData', ...more];
}

/** A Java properties file of the settings. */
export function properties(settings: Readonly<Record<string, string | number | boolean>>): string {
  return `${Object.entries(settings)
    .map(([key, value]) => `${key}=${value}`)
    .join('\n')}\n`;
}

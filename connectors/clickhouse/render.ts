/**
 * Turns a migration file into statements for one node or for a replicated cluster. Placeholders:
 *
 *   {on_cluster}                 ` ON CLUSTER 'name'`, or nothing
 *   {table:NAME}                 the table that holds the rows: NAME, or NAME_local beside a Distributed NAME
 *   {engine:Engine(args)}        Engine(args), or ReplicatedEngine(args) at the server's default path
 *   {dedup}                      the deduplication window of the table
 *   {distributed:NAME key}       nothing, or the statement that makes the Distributed table NAME
 *   {alter_distributed:NAME …}   nothing, or the statement that alters it
 *
 * and, in a comment, `-- ttl: NAME expression`: what a time to live of table NAME counts from.
 */
import { SluiceError } from '../../engine/errors.ts';

export interface ClusterOptions {
  /** As in `system.clusters` and the server's `{cluster}` macro. */
  readonly name: string;
}

/** Blocks whose tokens are remembered per table. Kept in memory and on disk by the server: some 200 bytes each. */
export const DEDUPLICATION_WINDOW = 10_000;
/** Replicated tables forget by age too: longer than any outage after which a pending range may be written again. */
const DEDUPLICATION_SECONDS = 7 * 86_400;

export interface Rendered {
  readonly statements: readonly string[];
  /** Expression of the time to live by name of the table that holds the rows. */
  readonly ttl: ReadonlyMap<string, { readonly table: string; readonly expression: string }>;
}

function dedup(cluster: ClusterOptions | undefined): string {
  if (cluster === undefined) return `non_replicated_deduplication_window = ${DEDUPLICATION_WINDOW}`;
  return (
    `replicated_deduplication_window = ${DEDUPLICATION_WINDOW}, ` +
    `replicated_deduplication_window_seconds = ${DEDUPLICATION_SECONDS}`
  );
}

function distributed(argument: string, cluster: ClusterOptions | undefined): string {
  if (cluster === undefined) return '';
  const space = argument.indexOf(' ');
  const name = argument.slice(0, space);
  const key = argument.slice(space + 1);
  return (
    `CREATE TABLE IF NOT EXISTS ${name} ON CLUSTER '${cluster.name}' AS ${name}_local ` +
    `ENGINE = Distributed('${cluster.name}', currentDatabase(), ${name}_local, ${key});`
  );
}

function alterDistributed(argument: string, cluster: ClusterOptions | undefined): string {
  if (cluster === undefined) return '';
  const space = argument.indexOf(' ');
  return `ALTER TABLE ${argument.slice(0, space)} ON CLUSTER '${cluster.name}'${argument.slice(space)};`;
}

/** The table that holds the rows of NAME. */
export function localTable(name: string, cluster: ClusterOptions | undefined): string {
  return cluster === undefined ? name : `${name}_local`;
}

function expand(kind: string, argument: string, cluster: ClusterOptions | undefined): string {
  switch (kind) {
    case 'on_cluster':
      return cluster === undefined ? '' : ` ON CLUSTER '${cluster.name}'`;
    case 'table':
      return localTable(argument, cluster);
    case 'engine':
      return cluster === undefined ? argument : `Replicated${argument}`;
    case 'dedup':
      return dedup(cluster);
    case 'distributed':
      return distributed(argument, cluster);
    case 'alter_distributed':
      return alterDistributed(argument, cluster);
    default:
      throw new SluiceError(`Unknown placeholder {${kind}}`, { code: 'MIGRATION_FILES', action: 'fatal' });
  }
}

/** Statements end with a semicolon at the end of a line; comment lines are dropped. */
export function renderMigration(template: string, cluster?: ClusterOptions): Rendered {
  if (cluster !== undefined && !/^[\w{}.-]+$/.test(cluster.name)) {
    throw new SluiceError(`Bad cluster name '${cluster.name}'`, { code: 'MIGRATION_FILES', action: 'fatal' });
  }
  const ttl = new Map<string, { table: string; expression: string }>();
  for (const [, name, expression] of template.matchAll(/^-- ttl: (\w+) (.+)$/gm)) {
    ttl.set(name!, { table: localTable(name!, cluster), expression: expression! });
  }
  const text = template
    .replace(/^\s*--.*$/gm, '')
    .replace(/\{(\w+)(?::([^{}]*))?\}/g, (_, kind: string, argument?: string) => expand(kind, argument ?? '', cluster));
  const statements = text
    .split(/;[ \t]*(?:\n|$)/)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '');
  return { statements, ttl };
}

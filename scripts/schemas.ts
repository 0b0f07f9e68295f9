/** `npm run schemas -- register|check|list|print`: the schemas of `schemas/` and the registry. */
import { Command } from 'commander';
import { RegistryClient, type SubjectSpec } from '../connectors/registry/client.ts';
import { SluiceError } from '../engine/errors.ts';
import { loadConfig } from '../pipelines/config.ts';
import { SUBJECTS, type Subject, schemaText } from '../schemas/subjects.ts';
import { endForCertain } from './support/ending.ts';

const out = (line: string) => process.stdout.write(`${line}\n`);

function spec({ name, schema, compatibility }: Subject): SubjectSpec {
  return { name, text: schemaText(schema), compatibility };
}

function registry(): RegistryClient {
  return new RegistryClient({ url: loadConfig(process.env).SLUICE_REGISTRY_URL });
}

/** Registers what is missing; returns the exit status. An incompatible subject does not keep the others from it. */
async function register(): Promise<number> {
  const client = registry();
  let status = 0;
  for (const subject of Object.values(SUBJECTS)) {
    try {
      const { id, version, created, replacedCompatibility } = await client.register(spec(subject));
      const rule = replacedCompatibility === null ? '' : `, ${replacedCompatibility} → ${subject.compatibility}`;
      out(`${created ? 'registered' : 'unchanged '}  ${subject.name}  version ${version}, id ${id}${rule}`);
    } catch (error) {
      if (!(error instanceof SluiceError) || error.code !== 'SCHEMA_INCOMPATIBLE') throw error;
      out(`REFUSED     ${subject.name}  ${error.message}`);
      status = 1;
    }
  }
  return status;
}

/** Says what `register` would do; returns the exit status: 1 when a schema is incompatible or its rule is not in force. */
async function check(): Promise<number> {
  const client = registry();
  let status = 0;
  for (const subject of Object.values(SUBJECTS)) {
    const result = await client.check(spec(subject));
    switch (result.kind) {
      case 'registered':
        out(`registered    ${subject.name}  version ${result.version}, id ${result.id}`);
        break;
      case 'new':
        out(`new           ${subject.name}`);
        break;
      case 'compatible':
        out(`compatible    ${subject.name}  ${subject.compatibility}: would be the next version`);
        break;
      case 'incompatible':
        out(`INCOMPATIBLE  ${subject.name}  ${subject.compatibility}: ${result.reason}`);
        status = 1;
        break;
      case 'rule-differs':
        out(`RULE DIFFERS  ${subject.name}  ${result.configured} instead of ${subject.compatibility}: run register`);
        status = 1;
        break;
      default:
        result satisfies never;
    }
  }
  return status;
}

/** Lists every subject of the registry, Debezium's too. */
async function list(): Promise<number> {
  const client = registry();
  for (const name of await client.subjects()) {
    const latest = await client.latest(name);
    const rule = await client.compatibilityOf(name);
    if (latest !== null) out(`${name}  version ${latest.version}, id ${latest.id}, ${rule ?? 'no rule of its own'}`);
  }
  return 0;
}

/** Prints a schema as Avro JSON, for tools that read `.avsc` files. */
async function print(name: string): Promise<number> {
  const subject = Object.values(SUBJECTS).find((candidate) => candidate.name === name);
  if (subject === undefined) {
    const names = Object.values(SUBJECTS).map((candidate) => candidate.name);
    throw new SluiceError(`No subject ${name}; there are ${names.join(', ')}`, {
      code: 'NO_SUCH_SUBJECT',
      action: 'fatal',
    });
  }
  out(JSON.stringify(subject.schema, null, 2));
  return 0;
}

const run =
  (command: (...args: string[]) => Promise<number>) =>
  async (...args: string[]): Promise<void> => {
    process.exitCode = await command(...args);
  };

const program = new Command('schemas').description(
  'The Avro schemas of Sluice and the registry (SLUICE_REGISTRY_URL).',
);
program.command('register').description('register what is missing, set the compatibility rules').action(run(register));
program.command('check').description('compare with the registry; 1 when incompatible').action(run(check));
program.command('list').description("list the registry's subjects").action(run(list));
program.command('print').description('print a schema as Avro JSON').argument('<subject>').action(run(print));

endForCertain();
try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof SluiceError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 2;
}

/** `npm run gateway -- token NAME`: a token for clients of the market feed. */
import { appendFileSync } from 'node:fs';
import { Command } from 'commander';
import { newToken, parseTokens } from '../connectors/websocket/tokens.ts';
import { loadConfig } from '../pipelines/config.ts';
import { badArgument, timeOf } from './support/arguments.ts';
import { runScript } from './support/run.ts';

interface Options {
  readonly expires?: Date;
  readonly file?: string;
}

/** The token is shown once and kept nowhere; its hash goes into the file, which running gateways read again within a second. */
function makeToken(name: string, { expires, file }: Options): void {
  const path = file ?? loadConfig(process.env).SLUICE_PRICES_GATEWAY_TOKENS_FILE;
  if (path === undefined) throw badArgument('Give --file, or set SLUICE_PRICES_GATEWAY_TOKENS_FILE');
  const { token, line } = newToken(name, expires?.getTime() ?? null);
  parseTokens(line);
  appendFileSync(path, `${line}\n`, { mode: 0o600 });
  console.error(`${name} may connect; take its line out of ${path} to revoke the token, which is:`);
  console.log(token);
}

const program = new Command('gateway').description('Who may use the market feed (npm run worker -- prices.gateway).');
program
  .command('token')
  .description('make a token and add its hash to the token file')
  .argument('<name>', 'whose it is: letters, digits, . _ -')
  .option('--expires <time>', 'when it ends, e.g. 2027-01-31T00:00:00Z', timeOf('expires'))
  .option('--file <path>', 'the token file; SLUICE_PRICES_GATEWAY_TOKENS_FILE when not given')
  .action(makeToken);

await runScript(program);

/** Who may connect to the market feed of this run: whoever has its token, made anew at each start. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { newToken } from '../../connectors/websocket/tokens.ts';
import { loadConfig } from '../../pipelines/config.ts';
import { MARKET_PATH } from '../../pipelines/prices/gateway/protocol.ts';
import { sessionTokenFile } from '../gateway/session-token.ts';
import type { Connection } from './state.ts';

const NAME = 'npm-start';

export interface FeedSession {
  readonly connections: readonly Connection[];
  /** Takes the token back. */
  close(): void;
}

/** Other tokens of the file stay as they are. */
export function openFeedSession(env: NodeJS.ProcessEnv): FeedSession {
  const {
    SLUICE_PRICES_GATEWAY_TOKENS_FILE: tokens,
    SLUICE_PRICES_GATEWAY_AUTH: auth,
    SLUICE_PRICES_GATEWAY_TLS_CERT: certificate,
    SLUICE_PRICES_GATEWAY_HOST: host,
    SLUICE_PRICES_GATEWAY_PORT: port,
  } = loadConfig(env);
  const url = `${certificate === undefined ? 'ws' : 'wss'}://${host}:${port}${MARKET_PATH}`;
  if (auth === 'none' || tokens === undefined) return { connections: [{ name: '', try: url }], close: () => {} };
  const { token, line } = newToken(NAME);
  const session = sessionTokenFile(tokens);
  const write = (ours: readonly string[]) => {
    const others = existsSync(tokens) ? readFileSync(tokens, 'utf8').split('\n') : [];
    const kept = others.filter((other) => other !== '' && !other.startsWith(`${NAME} `));
    writeFileSync(tokens, [...kept, ...ours, ''].join('\n'), { mode: 0o600 });
  };
  write([line]);
  writeFileSync(session, token, { mode: 0o600 });
  return {
    connections: [{ name: '', try: `${url}  token ${token}` }],
    close: () => {
      write([]);
      rmSync(session, { force: true });
    },
  };
}

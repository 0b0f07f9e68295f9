/** The market gateway as the environment configures it. */
import type { Logger } from 'pino';
import { KafkaClient } from '../../../connectors/kafka/client.ts';
import { RegistryClient } from '../../../connectors/registry/client.ts';
import { TokenFile } from '../../../connectors/websocket/token-file.ts';
import { SluiceError } from '../../../engine/errors.ts';
import { type Config, kafkaOptions } from '../../config.ts';
import { candleKeyDecoder } from '../codec/candle.ts';
import { CANDLES } from '../topics.ts';
import { feedDecoder } from './feed-codec.ts';
import { type GatewayOptions, MarketGateway } from './gateway.ts';

export const MARKET_GATEWAY = 'prices.gateway';

const LOOPBACK: ReadonlySet<string> = new Set(['127.0.0.1', '::1', 'localhost']);

/** Times 2,000 clients that read nothing this is 128 MiB, answers included; a value is about 300 bytes. */
const CONFLATE_BYTES = 16 * 1024;

/** Builds it; nothing runs yet. Throws GATEWAY_INVALID, TOKENS_UNREADABLE, TOKENS_INVALID. */
export function createMarketGateway(config: Config, logger: Logger): MarketGateway {
  const tokens = tokenFile(config, logger);
  const registry = new RegistryClient({ url: config.SLUICE_REGISTRY_URL });
  return new MarketGateway({
    ...{ name: MARKET_GATEWAY, topic: CANDLES, logger, tokens, tls: tlsOf(config) },
    client: new KafkaClient(kafkaOptions(config, MARKET_GATEWAY)),
    decoders: { key: candleKeyDecoder(registry), value: feedDecoder(registry) },
    host: config.SLUICE_PRICES_GATEWAY_HOST,
    port: config.SLUICE_PRICES_GATEWAY_PORT,
    origins: config.SLUICE_PRICES_GATEWAY_ORIGINS,
    maxConnections: config.SLUICE_PRICES_GATEWAY_MAX_CONNECTIONS,
    maxConnectionsPerToken: config.SLUICE_PRICES_GATEWAY_MAX_CONNECTIONS_PER_TOKEN,
    delayedMs: config.SLUICE_PRICES_GATEWAY_DELAYED_MS,
    limits: {
      heartbeatMs: config.SLUICE_PRICES_GATEWAY_HEARTBEAT_MS,
      maxSubscriptions: 100,
      maxFrameBytes: 16 * 1024,
      conflateBytes: CONFLATE_BYTES,
      burst: 100,
      framesPerSecond: 20,
    },
  });
}

function tokenFile(config: Config, logger: Logger): TokenFile | null {
  const { SLUICE_PRICES_GATEWAY_AUTH: auth, SLUICE_PRICES_GATEWAY_HOST: host } = config;
  if (auth === 'none') {
    if (LOOPBACK.has(host)) return null;
    throw invalid(`SLUICE_PRICES_GATEWAY_AUTH=none is for loopback only, not for ${host}`);
  }
  const path = config.SLUICE_PRICES_GATEWAY_TOKENS_FILE;
  if (path !== undefined) return new TokenFile(path, logger);
  throw invalid(
    'SLUICE_PRICES_GATEWAY_TOKENS_FILE is not set: npm run gateway -- token NAME --file FILE makes a token; ' +
      'or, on loopback, SLUICE_PRICES_GATEWAY_AUTH=none lets everybody in',
  );
}

function tlsOf(config: Config): GatewayOptions['tls'] {
  const { SLUICE_PRICES_GATEWAY_TLS_CERT: certFile, SLUICE_PRICES_GATEWAY_TLS_KEY: keyFile } = config;
  if (certFile !== undefined && keyFile !== undefined) return { certFile, keyFile };
  if (certFile === keyFile) return undefined;
  throw invalid('TLS needs both SLUICE_PRICES_GATEWAY_TLS_CERT and SLUICE_PRICES_GATEWAY_TLS_KEY');
}

function invalid(message: string): SluiceError {
  return new SluiceError(message, { code: 'GATEWAY_INVALID', action: 'fatal' });
}

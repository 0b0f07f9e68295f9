/** Apicurio Registry, its schemas in an H2 file. */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { httpOk } from './probe.ts';
import { cleanEnvironment, javaOptions, type Place, prepareTemporary, type ServerDeclaration } from './service.ts';

function runner(place: Place): string {
  const folder = join(place.jars, 'registry');
  const jar = readdirSync(folder).find((name) => name.endsWith('-runner.jar'));
  if (jar === undefined) throw new Error(`no registry in ${folder}`);
  return join(folder, jar);
}

export const registry: ServerDeclaration = {
  service: 'registry',
  ports: ['registry'],
  needs: [],
  async prepare(place) {
    mkdirSync(join(place.home, 'registry'), { recursive: true });
    prepareTemporary(place, 'registry');
  },
  spec(place) {
    const data = join(place.home, 'registry', 'db');
    return {
      name: 'registry',
      command: place.java,
      args: [
        '-Xms64m',
        '-Xmx256m',
        '-XX:+UseSerialGC',
        '-XX:TieredStopAtLevel=1',
        ...javaOptions(place, 'registry'),
        '-jar',
        runner(place),
      ],
      env: cleanEnvironment({
        QUARKUS_HTTP_HOST: '127.0.0.1',
        QUARKUS_HTTP_PORT: String(place.ports.registry),
        QUARKUS_LOG_LEVEL: 'WARN',
        // Without WRITE_DELAY=0 a schema registered just before a kill is lost.
        REGISTRY_DATASOURCE_URL: `jdbc:h2:file:${data};DB_CLOSE_ON_EXIT=FALSE;WRITE_DELAY=0`,
      }),
      cwd: join(place.home, 'registry'),
      logFile: join(place.home, 'logs', 'registry.log'),
      ready: () => httpOk(`http://127.0.0.1:${place.ports.registry}/apis/ccompat/v7/subjects`),
      readyTimeoutMs: 60_000,
      stopSignal: 'SIGTERM',
      stopTimeoutMs: 10_000,
    };
  },
};

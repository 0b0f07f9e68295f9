/** The layers of the design: engine ← connectors ← pipelines ← scripts. */
module.exports = {
  forbidden: [
    { name: 'engine-imports-nothing-of-ours', severity: 'error', from: { path: '^engine/' }, to: { path: '^(connectors|pipelines|scripts|infra|tests)/' } },
    { name: 'connectors-import-engine-only', severity: 'error', from: { path: '^connectors/' }, to: { path: '^(pipelines|scripts|infra|tests)/' } },
    { name: 'connectors-do-not-import-each-other', severity: 'error', from: { path: '^connectors/([^/]+)/' }, to: { path: '^connectors/', pathNot: '^connectors/$1/' } },
    { name: 'pipelines-do-not-import-scripts', severity: 'error', from: { path: '^pipelines/' }, to: { path: '^(scripts|infra|tests)/' } },
    { name: 'pipelines-do-not-import-each-other', severity: 'error', comment: 'operations and capture are of all pipelines and know none', from: { path: '^pipelines/([^/]+)/' }, to: { path: '^pipelines/[^/]+/', pathNot: '^pipelines/($1|operations|capture)/' } },
    { name: 'reconcile-shares-no-arithmetic', severity: 'error', comment: 'the judge must not share arithmetic with the judged; decoding records is none', from: { path: '^pipelines/engagement/reconcile/' }, to: { path: '^pipelines/engagement/(?!reconcile/|codec/|topics\\.ts|config\\.ts)' } },
    { name: 'prices-reconcile-shares-no-arithmetic', severity: 'error', comment: 'as of engagement; the library of indicators is the judged too', from: { path: '^pipelines/prices/reconcile/' }, to: { path: '^pipelines/prices/(?!reconcile/|codec/|topics\\.ts)|trading-signals' } },
    { name: 'infra-stands-alone', severity: 'error', from: { path: '^infra/' }, to: { path: '^(engine|connectors|pipelines|scripts|tests)/' } },
    { name: 'no-production-import-of-tests', severity: 'error', from: { pathNot: '^tests/' }, to: { path: '^tests/' } },
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } }
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.mjs', '.cjs', '.js', '.json'], exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] }
  }
};

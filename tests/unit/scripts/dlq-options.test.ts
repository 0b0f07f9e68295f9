import { expect, it } from 'vitest';
import { withTopic } from '../../../scripts/dlq/options.ts';

const ENGAGEMENT = { name: 'engagement', topic: 'engagement.dlq' };
const PRICES = { name: 'prices', topic: 'prices.dlq' };

it.each([
  ['all are there', ['engagement.dlq', 'prices.dlq'], [ENGAGEMENT, PRICES], []],
  ['one was never deployed', ['engagement.dlq'], [ENGAGEMENT], ['prices: there is no topic prices.dlq: passed over']],
  ['none is there: the wrong broker, which is not to look like no letters', [], [ENGAGEMENT, PRICES], []],
])('asks the pipelines that have topics: %s', (_, existing, asked, told) => {
  const said: string[] = [];
  expect(withTopic([ENGAGEMENT, PRICES], new Set(existing), (line) => said.push(line))).toEqual(asked);
  expect(said).toEqual(told);
});

/** Every topic, with explicit settings: nothing relies on auto-creation. */
import { engagementTopics } from './engagement/topics.ts';
import { SYSTEM_TOPICS, type TopicSpec } from './operations/topics.ts';
import { pricesTopics } from './prices/topics.ts';

/** @param partitions of the topics that are spread */
export function allTopics(partitions: number): readonly TopicSpec[] {
  return [...SYSTEM_TOPICS, ...engagementTopics(partitions), ...pricesTopics(partitions)];
}

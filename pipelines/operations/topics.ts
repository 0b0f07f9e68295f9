/** Topics of the system itself, whatever pipelines run. */

/** What operators did. Kept for ever. */
export const AUDIT_TOPIC = 'sluice.audit';

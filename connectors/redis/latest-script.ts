/** What runs inside Redis for newest values that expire. Fence and owner as for leaderboards (scripts.ts). */
import { ADMIT, PRELUDE } from './scripts.ts';

/**
 * KEYS: marks. ARGV: a series, its mark, the key, when the value expires (ms), the number of fields and values, these. Puts the value of that mark into
 * place, or with no fields takes it off: unless the sink has written another since. Returns 1 or 0.
 */
export const MEND = `
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
local time = redis.call('TIME')
redis.call('DEL', ARGV[3])
if #ARGV > 5 and tonumber(ARGV[4]) > time[1] * 1000 + math.floor(time[2] / 1000) then
  redis.call('HSET', ARGV[3], unpack(ARGV, 6))
  redis.call('PEXPIREAT', ARGV[3], ARGV[4])
end
return 1
`;

/** KEYS: a value. ARGV: its fields and values. Takes it off if that is all there is of it. Returns 1 or 0. */
export const TAKE_OFF = `
local found = redis.call('HGETALL', KEYS[1])
if #found ~= #ARGV or #found == 0 then return 0 end
local is = {}
for i = 1, #found, 2 do is[found[i]] = found[i + 1] end
for i = 1, #ARGV, 2 do if is[ARGV[i]] ~= ARGV[i + 1] then return 0 end end
return redis.call('DEL', KEYS[1])
`;

/**
 * KEYS: stamps, owners, (not used), marks. ARGV as of WRITE up to `expected`, final (1 or 0), key prefix, time to live (ms), stream time of
 * the batch ('' when it does not say), the number of stamp fields and values, these; then of each operation: series, time, offset, moment it is of (ms, '' for the
 * batch's), rest of its key, number of fields and values, these. A series that is gone has no key and no fields.
 *
 * A mark `time:offset:key` per series says what the newest was, whether or not it is still shown: what is older never takes its place.
 * Returns written, stale or lost.
 */
export const LATEST = `${PRELUDE}${ADMIT}
local marks, prefix, ttl_ms = KEYS[4], ARGV[10], tonumber(ARGV[11])
local refused = refusal(fence_of(asof, p), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]))
local live = fence_of(asof, p)
if live and live.generation > generation then refused = 'stale' end
if refused then return refused end

-- What came in front of the first stamp that is known is older than any that is.
local moment = tonumber(ARGV[12]) or tonumber(redis.call('HGET', asof, p .. ':stream_time') or '0')
local clock = now()
local at = 13
local stamp_of = {}
for i = 1, tonumber(ARGV[at]), 2 do
  stamp_of[i] = p .. ':' .. ARGV[at + i]
  stamp_of[i + 1] = ARGV[at + i + 1]
end
at = at + #stamp_of + 1
while at <= #ARGV do
  local series, time, offset, size = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 5])
  local key = prefix .. ARGV[at + 4]
  local mark = redis.call('HGET', marks, series)
  local old_time, old_offset, old_key
  if mark then old_time, old_offset, old_key = string.match(mark, '^(-?%d+):(%d+):(.*)$') end
  old_time, old_offset = tonumber(old_time), tonumber(old_offset)
  local same = mark and time == old_time and offset >= old_offset
  if size == 0 then
    if same then
      redis.call('DEL', old_key)
      redis.call('HSET', marks, series, old_time .. ':' .. ARGV[at + 2] .. ':' .. old_key)
    end
  elseif not mark or same or time > old_time then
    local expires = (tonumber(ARGV[at + 3]) or moment) + ttl_ms
    redis.call('DEL', key)
    if expires > clock then
      redis.call('HSET', key, unpack(ARGV, at + 6, at + 5 + size))
      redis.call('PEXPIREAT', key, string.format('%.0f', expires))
    end
    redis.call('HSET', marks, series, ARGV[at + 1] .. ':' .. ARGV[at + 2] .. ':' .. key)
  end
  at = at + 6 + size
end
if ARGV[9] == '1' then
  redis.call('HSET', asof, p .. ':fence', generation .. ':' .. ARGV[7], p .. ':written', clock, unpack(stamp_of))
  for _, key in pairs({ asof, owners, marks }) do redis.call('EXPIRE', key, ttl) end
end
return 'written'
`;

/**
 * What runs inside Redis. A script takes the keys of one leaderboard and derives the others from its base key; they share its
 * slot. `live` is what readers see (`<base>:…`), `shadow` (`<base>:rebuild:…`) where partitions gather that were lost.
 *
 * Per partition there is a *fence* `generation:offset` beside the data (what has been written) and an *owner* token (who may
 * write: the last to ask for its position). The fence makes old batches harmless; the token keeps a writer that was paused between two
 * chunks of a batch from putting an old value over a new one.
 */

export const PRELUDE = `
local asof, owners, shadow_asof = KEYS[1], KEYS[2], KEYS[3]
local base = string.sub(asof, 1, -6)
local shadow = base .. ':rebuild'
local boards = {}
for board in string.gmatch(ARGV[1], '[^,]+') do boards[#boards + 1] = board end
local p, token, generation, ttl = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])

local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function fence_of(key, partition)
  local text = redis.call('HGET', key, partition .. ':fence')
  if not text then return nil end
  local g, offset = string.match(text, '^(%d+):(%d+)$')
  return { generation = tonumber(g), offset = tonumber(offset) }
end

local function current(fence)
  return fence ~= nil and fence.generation == generation
end

local function in_pieces(command, key, list)
  for from = 1, #list, 1000 do
    redis.call(command, key, unpack(list, from, math.min(from + 999, #list)))
  end
end
`;

/**
 * ARGV: boards, partition, token, generation, ttl, maxAgeMs.
 * Takes the partition over. Returns the offset to go on from, -1 for a rebuild, or -2 when a newer generation has written.
 */
export const ACQUIRE = `${PRELUDE}
local max_age = tonumber(ARGV[6])
local live, gathered = fence_of(asof, p), fence_of(shadow_asof, p)
for _, fence in pairs({ live, gathered }) do
  if fence.generation > generation then return -2 end
end
redis.call('HSET', owners, p, token)
redis.call('EXPIRE', owners, 2 * ttl)
local function fresh(key)
  local written = tonumber(redis.call('HGET', key, p .. ':written') or '0')
  return now() - written <= max_age
end
if current(live) then
  redis.call('HDEL', shadow_asof, p .. ':fence')
  if fresh(asof) then return live.offset end
elseif current(gathered) and fresh(shadow_asof) then
  return gathered.offset
end
return -1
`;

/** Why a batch may not be written beside a fence: stale or lost; nil when it may. */
export const ADMIT = `
local function refusal(fence, from, to, expected)
  -- Nothing written before is right only at the very beginning, or when this writer never saw anything here.
  if not fence and (expected or from > 0) then return 'lost' end
  if current(fence) then
    if fence.offset > to then return 'stale' end
    if expected and fence.offset < expected then return 'lost' end
  end
  -- Somebody else has asked for the position since: this writer must ask again before it goes on.
  if redis.call('HGET', owners, p) ~= token then
    if current(fence) and fence.offset >= to then return 'stale' end
    return 'lost'
  end
  return nil
end
`;

/** Puts entries and removals under a prefix. Expects the fields of the layout below from ARGV[at] on. */
const APPLY = `
local NULL = '\\0'
local function take(at)
  local list = {}
  for i = 1, tonumber(ARGV[at]) do list[i] = ARGV[at + i] end
  return list, at + #list + 1
end

local function apply(prefix, at)
  local fields, removes
  fields, at = take(at)
  removes, at = take(at)
  local zadd, zrem, dels, added, taken = {}, {}, {}, {}, {}
  for b = 1, #boards do zadd[b], zrem[b], added[b], taken[b] = {}, {}, 0, #removes end
  for i = 1, #removes do
    dels[i] = prefix .. ':content:' .. removes[i]
    for b = 1, #boards do zrem[b][i] = removes[i] end
  end
  -- One table for all hashes: the names stay, only the values change.
  local hash = { 'partition', p }
  for f = 1, #fields do hash[2 * f + 1] = fields[f] end
  local size = 2 * #fields + 2
  local entries = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, entries do
    local member = ARGV[at]
    for b = 1, #boards do
      local score = ARGV[at + b]
      if score == NULL then
        taken[b] = taken[b] + 1
        zrem[b][taken[b]] = member
      else
        local n = added[b]
        zadd[b][n + 1] = score
        zadd[b][n + 2] = member
        added[b] = n + 2
      end
    end
    at = at + #boards + 1
    local key = prefix .. ':content:' .. member
    local null
    for f = 1, #fields do
      local value = ARGV[at + f - 1]
      if value == NULL then
        value = ''
        null = null or {}
        null[#null + 1] = fields[f]
      end
      hash[2 * f + 2] = value
    end
    at = at + #fields
    local new = redis.call('HSET', key, unpack(hash, 1, size))
    if null then redis.call('HDEL', key, unpack(null)) end
    -- The hash of an entry that stays gets its time again by REFRESH.
    if new > 1 then redis.call('EXPIRE', key, 2 * ttl) end
  end
  for b = 1, #boards do
    in_pieces('ZADD', prefix .. ':' .. boards[b], zadd[b])
    in_pieces('ZREM', prefix .. ':' .. boards[b], zrem[b])
  end
  for from = 1, #dels, 1000 do redis.call('DEL', unpack(dels, from, math.min(from + 999, #dels))) end
end

local function stamp(prefix, key, to, pairs_of_stamp, partitions)
  for i = 1, #pairs_of_stamp, 2 do pairs_of_stamp[i] = p .. ':' .. pairs_of_stamp[i] end
  redis.call('HSET', key, 'partitions', partitions, p .. ':fence', generation .. ':' .. to, p .. ':written', now(),
    unpack(pairs_of_stamp))
  redis.call('EXPIRE', key, ttl)
  for b = 1, #boards do redis.call('EXPIRE', prefix .. ':' .. boards[b], ttl) end
end
`;

/** Moves what has gathered in the shadow into place. */
const PROMOTE = `
-- The members of the given partitions under a prefix, per board.
local function members(prefix, wanted)
  local found, partition_of = {}, {}
  for b = 1, #boards do
    found[b] = {}
    local listed = redis.call('ZRANGE', prefix .. ':' .. boards[b], 0, -1, 'WITHSCORES')
    for i = 1, #listed, 2 do
      local member = listed[i]
      if partition_of[member] == nil then
        partition_of[member] = redis.call('HGET', prefix .. ':content:' .. member, 'partition')
      end
      -- A member without its hash belongs to nobody: it goes with the first who cleans up.
      if not partition_of[member] or wanted[partition_of[member]] then
        found[b][#found[b] + 1] = listed[i + 1]
        found[b][#found[b] + 1] = member
      end
    end
  end
  return found
end

local function remove(prefix, wanted)
  local found = members(prefix, wanted)
  for b = 1, #boards do
    local gone = {}
    for i = 2, #found[b], 2 do
      gone[#gone + 1] = found[b][i]
      redis.call('DEL', prefix .. ':content:' .. found[b][i])
    end
    in_pieces('ZREM', prefix .. ':' .. boards[b], gone)
  end
end

local function promote(wanted, partitions)
  remove(base, wanted)
  local found = members(shadow, wanted)
  for b = 1, #boards do
    in_pieces('ZADD', base .. ':' .. boards[b], found[b])
    local moved = {}
    for i = 2, #found[b], 2 do
      moved[#moved + 1] = found[b][i]
      local content = shadow .. ':content:' .. found[b][i]
      if redis.call('EXISTS', content) == 1 then
        redis.call('RENAME', content, base .. ':content:' .. found[b][i])
      end
    end
    in_pieces('ZREM', shadow .. ':' .. boards[b], moved)
    redis.call('EXPIRE', base .. ':' .. boards[b], ttl)
  end
  local stamps = redis.call('HGETALL', shadow_asof)
  for i = 1, #stamps, 2 do
    local partition = string.match(stamps[i], '^(%d+):')
    if partition and wanted[partition] then
      redis.call('HSET', asof, stamps[i], stamps[i + 1])
      redis.call('HDEL', shadow_asof, stamps[i])
    end
  end
  redis.call('HSET', asof, 'partitions', partitions)
  redis.call('EXPIRE', asof, ttl)
end

-- Once this partition is in the shadow: it alone is moved when it is replaced in place, all of them when none is missing any more.
local function settle(partitions)
  if current(fence_of(asof, p)) then
    promote({ [p] = true }, partitions)
    return true
  end
  local wanted = {}
  for q = 0, partitions - 1 do
    local partition = tostring(q)
    if not current(fence_of(asof, partition)) then
      if not current(fence_of(shadow_asof, partition)) then return false end
      wanted[partition] = true
    end
  end
  promote(wanted, partitions)
  redis.call('DEL', shadow_asof)
  return true
end
`;

/**
 * ARGV: boards, partition, token, generation, ttl, from, to, expected ('' when none), final (1 or 0), partitions, then lists, each
 * with its length in front: the stamp (field, value, …), the names of the fields, members to remove; then the number of entries, and
 * of each the member, a score per board, a value per field (byte 0 for none).
 * Returns written, stale or lost.
 */
export const WRITE = `${PRELUDE}${ADMIT}${APPLY}${PROMOTE}
local from, to, expected, final, partitions = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), ARGV[9], ARGV[10]
local live, gathered = fence_of(asof, p), fence_of(shadow_asof, p)
local prefix, key, fence = base, asof, live
if live and live.generation > generation then return 'stale' end
if not current(live) and gathered then
  if gathered.generation > generation then return 'stale' end
  if current(gathered) then prefix, key, fence = shadow, shadow_asof, gathered end
end
local refused = refusal(fence, from, to, expected)
if refused then return refused end
local pairs_of_stamp, at = take(11)
apply(prefix, at)
if final == '1' then
  stamp(prefix, key, ARGV[7], pairs_of_stamp, partitions)
  redis.call('EXPIRE', owners, 2 * ttl)
  if prefix == shadow then settle(tonumber(partitions)) end
end
return 'written'
`;

/**
 * ARGV as of WRITE, with `from` telling the first chunk (1 or 0). Gathers a partition in the shadow. With the last chunk, moves into
 * place what is complete: this partition alone when the others are in place, else all when the last of them has come.
 * Returns gathered, promoted or lost.
 */
export const REBUILD = `${PRELUDE}${APPLY}${PROMOTE}
local first, final, partitions = ARGV[6], ARGV[9], tonumber(ARGV[10])
if redis.call('HGET', owners, p) ~= token then return 'lost' end

if first == '1' then
  redis.call('HDEL', shadow_asof, p .. ':fence')
  remove(shadow, { [p] = true })
end
local pairs_of_stamp, at = take(11)
apply(shadow, at)
if final ~= '1' then return 'gathered' end
stamp(shadow, shadow_asof, ARGV[7], pairs_of_stamp, partitions)
return settle(partitions) and 'promoted' or 'gathered'
`;

/** ARGV: boards, partition, token, generation, ttl. Gives the hashes of everything that is shown their time to live again. */
export const REFRESH = `${PRELUDE}
for b = 1, #boards do
  local members = redis.call('ZRANGE', base .. ':' .. boards[b], 0, -1)
  for i = 1, #members do redis.call('EXPIRE', base .. ':content:' .. members[i], 2 * ttl) end
end
return 'written'
`;

/**
 * KEYS: a board, the stamps. ARGV: base key, number of places.
 * Returns the members with their scores and hashes, best first, and the stamps: one moment, one round trip.
 */
export const TOP = `
local listed = redis.call('ZREVRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1, 'WITHSCORES')
local entries = {}
for i = 1, #listed, 2 do
  entries[#entries + 1] = { listed[i], listed[i + 1], redis.call('HGETALL', ARGV[1] .. ':content:' .. listed[i]) }
end
return { entries, redis.call('HGETALL', KEYS[2]) }
`;

/**
 * KEYS: the stamps. ARGV: base key, whether to forget (1 or 0), the number of fences, their fields, then members whose hashes go too.
 * Returns how many of the fences are missing.
 */
export const FORGET = `
local fences = tonumber(ARGV[3])
if ARGV[2] == '1' then
  redis.call('HDEL', KEYS[1], unpack(ARGV, 4, 3 + fences))
  for i = 4 + fences, #ARGV do redis.call('DEL', ARGV[1] .. ':content:' .. ARGV[i]) end
end
local missing = 0
for i = 4, 3 + fences do missing = missing + 1 - redis.call('HEXISTS', KEYS[1], ARGV[i]) end
return missing
`;

/** KEYS: the stamps. ARGV: base key, boards. Takes a leaderboard away, with what is gathered of it. */
export const DROP = `
for _, prefix in ipairs({ ARGV[1], ARGV[1] .. ':rebuild' }) do
  for b = 2, #ARGV do
    local members = redis.call('ZRANGE', prefix .. ':' .. ARGV[b], 0, -1)
    for i = 1, #members do redis.call('UNLINK', prefix .. ':content:' .. members[i]) end
    redis.call('UNLINK', prefix .. ':' .. ARGV[b])
  end
  redis.call('UNLINK', prefix .. ':asof')
end
redis.call('UNLINK', ARGV[1] .. ':owners')
return 'dropped'
`;

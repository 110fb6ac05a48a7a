-- This file is part of ra_pipe.
--
-- Use of this source code is governed by a 3-clause BSD-style
-- license that can be found in the LICENSE file.

-- Every change of the queue's state, each one atomic.
--
-- Called with one key, the prefix of all keys, the name of an action and its
-- arguments as JSON.  The prefix holds a hash tag, so that a Redis Cluster
-- keeps all keys in one slot.
--
--   stream:<shard>     every job that is not done, with its lease in the
--                      pending list of the consumer group "workers"
--   waiting:<shard>    jobs to be taken, scored by the time they are due
--   newest:<shard>     those whose order is newest-first, by rank
--   job:<key>          state, stream entry and attempts of one job
--   held:<worker>      jobs that a worker has taken and not settled
--   exposure:<id>      how far the gathering of an exposure is, with the sets
--                      :queued, :done and :failed of its detectors, and :runs
--   gathers            exposures to gather, by the time to look at them
--   seen, grace        when a worker called last, and until when no lease lapses
--   dead, reports      streams of what failed for good, and of what is done
--   idle:<pool>, bell:<worker>, owners, workers    who to wake for what
--
-- All times are milliseconds of this server's clock, with decimals: thousands
-- of jobs come in a second, and keep their order.

local prefix = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000

local GROUP = 'workers'
local SILENT_WORKER = 60000
local LATE_PAUSE = 2000
local LONGEST_SILENCE = 5000
local EXPOSURE_KEYS = {'', ':queued', ':failed', ':done', ':published', ':runs'}

local function name(...)
  return table.concat({prefix, ...}, ':')
end

local function ms(number)
  return string.format('%.3f', number)
end

-- Waking idle workers -------------------------------------------------------

local function pool_of(shard)
  return shard == 'ingest' and 'ingest' or 'images'
end

local function leave_idle(worker)
  local was_idle = redis.call('SREM', name('idle', 'images'), worker)
  return was_idle + redis.call('SREM', name('idle', 'ingest'), worker) > 0
end

-- Wake one idle worker for a shard, its owner if that one is idle.
local function wake(shard)
  local worker = redis.call('HGET', name('owners'), shard)
  if not (worker and leave_idle(worker)) then
    worker = redis.call('SPOP', name('idle', pool_of(shard)))
    if worker then leave_idle(worker) end
  end
  if worker then
    redis.call('LPUSH', name('bell', worker), '1')
    redis.call('PEXPIRE', name('bell', worker), SILENT_WORKER)
  end
end

-- One job -------------------------------------------------------------------

local function make_wait(key, shard, order, rank, due)
  redis.call('ZADD', name('waiting', shard), ms(due), key)
  if order == 'newest-first' then
    redis.call('ZADD', name('newest', shard), string.format('%.0f', rank), key)
  end
  if due <= now then wake(shard) end
end

local function make_shard(shard)
  if redis.call('SADD', name('shards'), shard) == 1 then
    redis.call('XGROUP', 'CREATE', name('stream', shard), GROUP, '0', 'MKSTREAM')
  end
end

local function add(key, body, job, generation)
  make_shard(job.shard)
  local entry = redis.call('XADD', name('stream', job.shard), '*', 'key', key, 'body', body)
  local hash = name('job', key)
  redis.call('DEL', hash)
  redis.call('HSET', hash, 'state', 'waiting', 'entry', entry, 'shard', job.shard, 'order', job.order,
    'rank', string.format('%.0f', job.rank), 'attempts', 0, 'max_attempts', job.max_attempts,
    'queued', ms(now), 'generation', generation, 'worker', '',
    'gather_of', type(job.gather_of) == 'string' and job.gather_of or '')
  make_wait(key, job.shard, job.order, job.rank, now)
end

local function lease(key, worker)
  local hash = name('job', key)
  local fields = redis.call('HMGET', hash, 'shard', 'entry', 'queued', 'generation')
  local shard, entry = fields[1], fields[2]
  redis.call('ZREM', name('waiting', shard), key)
  redis.call('ZREM', name('newest', shard), key)
  redis.call('XCLAIM', name('stream', shard), GROUP, worker, 0, entry, 'FORCE', 'JUSTID')
  local attempt = redis.call('HINCRBY', hash, 'attempts', 1)
  redis.call('HSET', hash, 'state', 'leased', 'worker', worker, 'taken', ms(now))
  redis.call('SADD', name('held', worker), key)
  local body = redis.call('XRANGE', name('stream', shard), entry, entry)[1][2][4]
  return {key = key, body = body, attempt = attempt, queued = tonumber(fields[3]),
    generation = tonumber(fields[4]), taken = now,
    runs = redis.call('SMEMBERS', name('exposure', redis.call('HGET', hash, 'gather_of') or '') .. ':runs')}
end

-- Take the lease of a job away, whoever holds it.
local function unlease(key)
  local fields = redis.call('HMGET', name('job', key), 'shard', 'entry', 'worker')
  redis.call('XACK', name('stream', fields[1]), GROUP, fields[2])
  redis.call('SREM', name('held', fields[3]), key)
end

-- Forget a job's stream entry: it is settled, in one way or the other.
local function remove_entry(key)
  local fields = redis.call('HMGET', name('job', key), 'shard', 'entry')
  unlease(key)
  redis.call('ZREM', name('waiting', fields[1]), key)
  redis.call('ZREM', name('newest', fields[1]), key)
  redis.call('XDEL', name('stream', fields[1]), fields[2])
end

local function body_of(key)
  local fields = redis.call('HMGET', name('job', key), 'shard', 'entry')
  return redis.call('XRANGE', name('stream', fields[1]), fields[2], fields[2])[1][2][4]
end

local function put_back(key, due)
  local hash = name('job', key)
  local fields = redis.call('HMGET', hash, 'shard', 'order', 'rank')
  unlease(key)
  redis.call('HSET', hash, 'state', 'waiting', 'worker', '')
  make_wait(key, fields[1], fields[2], tonumber(fields[3]), due)
end

-- Gathering an exposure -----------------------------------------------------

local function expect(gather, detector)
  local exposure = name('exposure', gather.id)
  if redis.call('HSETNX', exposure, 'job', gather.job) == 1 then
    redis.call('HSET', exposure, 'expected', cjson.encode(gather.expected), 'deadline', gather.deadline_ms,
      'gathers', 0, 'gathered', 0, 'running', '', 'ttl', gather.ttl_ms, 'begin', ms(now))
    redis.call('ZADD', name('gathers'), ms(now + gather.deadline_ms), gather.id)
    redis.call('ZADD', name('exposures'), ms(now), gather.id)
    redis.call('ZREMRANGEBYRANK', name('exposures'), 0, -501)
  elseif redis.call('SCARD', exposure .. ':queued') == 0 then
    -- It does not expire while a detector is to come.
    for _, suffix in ipairs(EXPOSURE_KEYS) do redis.call('PERSIST', exposure .. suffix) end
  end
  redis.call('SREM', exposure .. ':failed', detector)
  -- Processed again on request: the gathering has not seen what comes.
  if redis.call('SREM', exposure .. ':done', detector) == 1 then
    redis.call('HSET', exposure, 'gathered', 0)
  end
  redis.call('SADD', exposure .. ':queued', detector)
end

local function is_complete(exposure)
  local expected = cjson.decode(redis.call('HGET', exposure, 'expected'))
  for _, detector in ipairs(expected) do
    if redis.call('SISMEMBER', exposure .. ':done', detector) == 0
      and redis.call('SISMEMBER', exposure .. ':failed', detector) == 0 then
      return false
    end
  end
  return #expected > 0 or redis.call('SCARD', exposure .. ':queued') == 0
end

local function start_gather(id)
  local exposure = name('exposure', id)
  local fields = redis.call('HMGET', exposure, 'job', 'running', 'gathers', 'gathered', 'deadline')
  local n_done = redis.call('SCARD', exposure .. ':done')
  if not fields[1] then
    redis.call('ZREM', name('gathers'), id)
  elseif fields[2] ~= '' then
    redis.call('ZADD', name('gathers'), ms(now + LATE_PAUSE), id)
  elseif n_done == tonumber(fields[4]) then
    -- Nothing new: wait on for the first detector, or leave it.
    if n_done == 0 and redis.call('SCARD', exposure .. ':queued') > 0 then
      redis.call('ZADD', name('gathers'), ms(now + fields[5]), id)
    else
      redis.call('ZREM', name('gathers'), id)
    end
  else
    local key = string.format('gather/%s/%d', id, fields[3])
    redis.call('HSET', exposure, 'gathered', n_done, 'gathers', fields[3] + 1, 'running', key)
    redis.call('ZREM', name('gathers'), id)
    add(key, fields[1], cjson.decode(fields[1]), fields[3])
  end
end

local function start_due_gathers()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', name('gathers'), '-inf', ms(now), 'LIMIT', 0, 16)) do
    start_gather(id)
  end
end

-- A detector is done, or failed for good: see whether to gather.
local function settle_detector(id, detector, set)
  local exposure = name('exposure', id)
  if redis.call('EXISTS', exposure) == 0 then return end
  for _, other in ipairs({'queued', 'failed', 'done'}) do
    redis.call('SREM', exposure .. ':' .. other, detector)
  end
  redis.call('SADD', exposure .. ':' .. set, detector)
  local fields = redis.call('HMGET', exposure, 'gathers', 'deadline', 'ttl')
  local complete = is_complete(exposure)
  if tonumber(fields[1]) > 0 then
    -- Late: once for all that come, when the last one is here.
    local all = complete and redis.call('SCARD', exposure .. ':queued') == 0
    redis.call('ZADD', name('gathers'), 'LT', ms(now + (all and LATE_PAUSE or fields[2])), id)
  elseif complete then
    redis.call('ZADD', name('gathers'), ms(now), id)
    start_gather(id)
  end
  if redis.call('SCARD', exposure .. ':queued') == 0 then
    for _, suffix in ipairs(EXPOSURE_KEYS) do redis.call('PEXPIRE', exposure .. suffix, fields[3]) end
  end
end

local function end_gather(key, job)
  local exposure = name('exposure', job.gather_of)
  if redis.call('HGET', exposure, 'running') == key then
    redis.call('HSET', exposure, 'running', '')
    start_due_gathers()
  end
end

-- What follows for the exposure when a job has ended in some way.
local function settle(key, job, set)
  if type(job.gather) == 'table' then settle_detector(job.gather.id, job.detector, set) end
  if type(job.gather_of) == 'string' then end_gather(key, job) end
end

-- Failure -------------------------------------------------------------------

local function bury(key, reason, detail)
  local hash = name('job', key)
  local fields = redis.call('HMGET', hash, 'attempts', 'worker')
  local body = body_of(key)
  local entry = redis.call('XADD', name('dead'), '*', 'key', key, 'body', body, 'reason', reason,
    'detail', detail, 'attempts', fields[1], 'worker', fields[2],
    'generation', redis.call('HGET', hash, 'generation'))
  remove_entry(key)
  redis.call('HSET', hash, 'state', 'dead', 'dead', entry, 'worker', '')
  settle(key, cjson.decode(body), 'failed')
  return 'dead'
end

local function fail(key, reason, detail, backoff_ms, final)
  local fields = redis.call('HMGET', name('job', key), 'attempts', 'max_attempts')
  local attempts = tonumber(fields[1])
  if final or attempts >= tonumber(fields[2]) then return bury(key, reason, detail) end
  redis.call('HSET', name('job', key), 'reason', reason)
  put_back(key, now + backoff_ms * 2 ^ (attempts - 1))
  return 'waiting'
end

-- Whether workers could renew their leases of late.  When this server was
-- away, or its clock was set, they are given the time of a lease.
local function could_renew(lease_ms)
  local seen = tonumber(redis.call('GETSET', name('seen'), ms(now)) or ms(now))
  if now - seen > math.max(lease_ms / 2, LONGEST_SILENCE) or now < seen then
    redis.call('SET', name('grace'), ms(now + lease_ms))
  end
  local grace = tonumber(redis.call('GET', name('grace')) or '0')
  return now >= grace or grace > now + lease_ms
end

local function reclaim(shard, lease_ms, backoff_ms)
  if redis.call('SISMEMBER', name('shards'), shard) == 0 then return end
  local lapsed = redis.call('XPENDING', name('stream', shard), GROUP, 'IDLE', lease_ms, '-', '+', 8)
  for _, pending in ipairs(lapsed) do
    local found = redis.call('XRANGE', name('stream', shard), pending[1], pending[1])
    if #found == 0 then
      redis.call('XACK', name('stream', shard), GROUP, pending[1])
    else
      local reason = string.format('worker %s fell silent: it has not renewed its lease for %.1f s',
        pending[2], pending[3] / 1000)
      fail(found[1][2][2], reason, '', backoff_ms, false)
    end
  end
end

-- Choosing the next job -----------------------------------------------------

-- The job of a shard that is next, with what it is compared by.
local function candidate(shard, starve_ms, starve_share)
  local oldest = redis.call('ZRANGE', name('waiting', shard), 0, 0, 'WITHSCORES')
  local due = tonumber(oldest[2])
  if not due or due > now then return nil end
  local starving = now - due >= starve_ms
    and redis.call('INCR', name('turn', shard)) % starve_share == 0
  if starving then return {key = oldest[1], rank = math.huge, due = due} end
  for _, key in ipairs(redis.call('ZREVRANGE', name('newest', shard), 0, 7)) do
    local its_due = tonumber(redis.call('ZSCORE', name('waiting', shard), key))
    if its_due and its_due <= now then
      return {key = key, rank = tonumber(redis.call('ZSCORE', name('newest', shard), key)), due = its_due}
    end
  end
  return {key = oldest[1], rank = 0, due = due}
end

local function best_of(shards, a)
  local best
  for _, shard in ipairs(shards) do
    local one = candidate(shard, a.starve_ms, a.starve_share)
    if one and (not best or one.rank > best.rank or (one.rank == best.rank and one.due < best.due)) then
      best = one
    end
  end
  return best
end

local function longest_of(shards, a)
  local longest, length = nil, 0
  for _, shard in ipairs(shards) do
    local n = redis.call('ZCOUNT', name('waiting', shard), '-inf', ms(now))
    if n > length then longest, length = shard, n end
  end
  return longest and candidate(longest, a.starve_ms, a.starve_share)
end

local function next_look(shards)
  local soonest = now + 1000
  local function consider(zset)
    local first = redis.call('ZRANGE', zset, 0, 0, 'WITHSCORES')
    if first[2] then soonest = math.min(soonest, tonumber(first[2])) end
  end
  consider(name('gathers'))
  for _, shard in ipairs(shards) do consider(name('waiting', shard)) end
  return math.max(soonest - now, 1)
end

local function see_worker(a)
  redis.call('ZADD', name('workers'), ms(now), a.worker)
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', name('workers'), '-inf', ms(now - SILENT_WORKER))) do
    redis.call('ZREM', name('workers'), worker)
    leave_idle(worker)
  end
  for _, shard in ipairs(a.own) do redis.call('HSET', name('owners'), shard, a.worker) end
  leave_idle(a.worker)
  redis.call('DEL', name('bell', a.worker))
end

-- Actions -------------------------------------------------------------------

local actions = {}

-- Add a job, unless it is known.  The body is the job itself.
function actions.enqueue(body, again)
  local job = cjson.decode(body)
  local fields = redis.call('HMGET', name('job', job.key), 'state', 'dead')
  local state = fields[1]
  if state == 'waiting' or state == 'leased' or (state and again ~= 'again') then return state end
  if fields[2] then redis.call('XDEL', name('dead'), fields[2]) end
  if type(job.gather) == 'table' then expect(job.gather, job.detector) end
  add(job.key, body, job, 0)
  return 'queued'
end

-- Lease up to a.count jobs; without any, say how long to wait for the bell.
function actions.take(arguments)
  local a = cjson.decode(arguments)
  local all = {}
  for _, shards in ipairs({a.first, a.own, a.others}) do
    for _, shard in ipairs(shards) do table.insert(all, shard) end
  end
  see_worker(a)
  -- The answer to an earlier call was lost: give the same jobs again.
  local taken = {}
  for _, key in ipairs(redis.call('SMEMBERS', name('held', a.worker))) do
    redis.call('HINCRBY', name('job', key), 'attempts', -1)
    table.insert(taken, lease(key, a.worker))
  end
  if #taken == 0 then
    if could_renew(a.lease_ms) then
      for _, shard in ipairs(all) do reclaim(shard, a.lease_ms, a.backoff_ms) end
    end
    start_due_gathers()
  end
  while #taken < a.count do
    local chosen = best_of(a.first, a) or best_of(a.own, a)
    local is_own = chosen ~= nil
    chosen = chosen or longest_of(a.others, a)
    if not chosen then break end
    local job = lease(chosen.key, a.worker)
    job.is_own = is_own
    table.insert(taken, job)
  end
  if #taken > 0 then return cjson.encode({jobs = taken}) end
  for _, pool in ipairs(a.pools) do redis.call('SADD', name('idle', pool), a.worker) end
  return cjson.encode({wait = next_look(all)})
end

-- Renew the leases of a worker; return the keys it holds no more.
function actions.renew(arguments)
  local a = cjson.decode(arguments)
  local lost = {}
  could_renew(a.lease_ms)
  redis.call('ZADD', name('workers'), ms(now), a.worker)
  for _, key in ipairs(a.keys) do
    local fields = redis.call('HMGET', name('job', key), 'state', 'worker', 'shard', 'entry')
    if fields[1] == 'leased' and fields[2] == a.worker then
      redis.call('XCLAIM', name('stream', fields[3]), GROUP, a.worker, 0, fields[4], 'JUSTID')
    else
      table.insert(lost, key)
    end
  end
  return lost
end

-- A job is done: whoever did it, its outputs are there.
function actions.finish(key, worker, report, published, run, ttl_ms, max_reports)
  local hash = name('job', key)
  local state = redis.call('HGET', hash, 'state')
  redis.call('SREM', name('held', worker), key)
  if state == 'done' or not state then return state or 'unknown' end
  local job
  if state == 'dead' then
    local dead = redis.call('HGET', hash, 'dead')
    job = cjson.decode(redis.call('XRANGE', name('dead'), dead, dead)[1][2][4])
    redis.call('XDEL', name('dead'), dead)
  else
    job = cjson.decode(body_of(key))
    remove_entry(key)
  end
  redis.call('DEL', hash)
  redis.call('HSET', hash, 'state', 'done')
  redis.call('PEXPIRE', hash, ttl_ms)
  redis.call('XADD', name('reports'), 'MAXLEN', '~', max_reports, '*', 'key', key, 'report', report)
  if type(job.gather) == 'table' and redis.call('EXISTS', name('exposure', job.gather.id)) == 1 then
    local exposure = name('exposure', job.gather.id)
    if published ~= '' then redis.call('HSET', exposure .. ':published', job.detector, published) end
    if run ~= '' then redis.call('SADD', exposure .. ':runs', run) end
  end
  settle(key, job, 'done')
  return 'finished'
end

-- An attempt failed: wait for the next one, or go to the dead letters.
function actions.fail(key, worker, reason, detail, backoff_ms, final)
  local fields = redis.call('HMGET', name('job', key), 'state', 'worker')
  if fields[1] ~= 'leased' or fields[2] ~= worker then return 'not held' end
  return fail(key, reason, detail, tonumber(backoff_ms), final == 'final')
end

-- Hand a job back: this was no attempt.
function actions.release(key, worker, delay_ms)
  local fields = redis.call('HMGET', name('job', key), 'state', 'worker')
  if fields[1] ~= 'leased' or fields[2] ~= worker then return 'not held' end
  redis.call('HINCRBY', name('job', key), 'attempts', -1)
  put_back(key, now + delay_ms)
  return 'waiting'
end

-- A dead letter is tried again, with all its attempts; a gathering when no
-- other one of its exposure is at work.
function actions.retry(entry)
  local found = redis.call('XRANGE', name('dead'), entry, entry)
  if #found == 0 then return 'unknown' end
  local letter = {}
  for i = 1, #found[1][2], 2 do letter[found[1][2][i]] = found[1][2][i + 1] end
  local job = cjson.decode(letter.body)
  if type(job.gather_of) == 'string' then
    local exposure = name('exposure', job.gather_of)
    local running = redis.call('HGET', exposure, 'running')
    if running and running ~= '' then return 'busy' end
    if running then redis.call('HSET', exposure, 'running', letter.key) end
  end
  redis.call('XDEL', name('dead'), entry)
  if type(job.gather) == 'table' then expect(job.gather, job.detector) end
  add(letter.key, letter.body, job, letter.generation)
  return 'queued'
end

-- A worker leaves: what it holds goes back at once.
function actions.leave(worker)
  for _, key in ipairs(redis.call('SMEMBERS', name('held', worker))) do
    actions.release(key, worker, 0)
  end
  redis.call('ZREM', name('workers'), worker)
  leave_idle(worker)
  for _, shard in ipairs(redis.call('SMEMBERS', name('shards'))) do
    if redis.call('HGET', name('owners'), shard) == worker then redis.call('HDEL', name('owners'), shard) end
    redis.call('XGROUP', 'DELCONSUMER', name('stream', shard), GROUP, worker)
  end
  redis.call('DEL', name('held', worker), name('bell', worker), name('worker', worker))
  return 'left'
end

return actions[ARGV[1]](unpack(ARGV, 2))

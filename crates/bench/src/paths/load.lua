-- Sends the requests that careeros-bench has prepared, and reports to it in one line of JSON.
--
-- Two files hold parts of requests, separated by the character 30: request number i is one of the first file's parts, taken
-- in turn, followed by one of the second's, which changes when all of the first have had their turn. So many different
-- requests cost one concatenation each.
--
-- Arguments: the two files, and how many requests were sent by earlier runs.

local the_thread

function setup(thread)
    the_thread = thread
end

local function parts(path)
    local file = assert(io.open(path, "rb"))
    local text = file:read("*a")
    file:close()
    local found = {}
    for part in (text .. "\30"):gmatch("([^\30]*)\30") do
        found[#found + 1] = part
    end
    return found
end

local firsts, seconds, start

function init(args)
    firsts, seconds, start = parts(args[1]), parts(args[2]), tonumber(args[3])
    sent = 0
end

function request()
    local number = start + sent
    sent = sent + 1
    local round = math.floor(number / #firsts)
    return firsts[number % #firsts + 1] .. seconds[round % #seconds + 1]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        'careeros-bench {"sent":%d,"answered":%d,"microseconds":%d,"p50":%d,"p99":%d,"max":%d,' ..
            '"refused":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}\n',
        the_thread:get("sent"), summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        latency.max, errors.status, errors.connect, errors.read, errors.write, errors.timeout
    ))
end

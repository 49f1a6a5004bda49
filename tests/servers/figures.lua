-- wrk's figures in a form that needs no parsing of units. e.status: answers with 400 and more; no application here
-- redirects.
function done(summary, latency)
    local e = summary.errors
    io.write(string.format(
        '{"done": %d, "errors": %d, "rate": %f, "p99_ms": %f}\n', summary.requests,
        e.connect + e.read + e.write + e.timeout + e.status, summary.requests * 1e6 / summary.duration,
        latency:percentile(99) / 1000))
end

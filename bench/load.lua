-- The token comes by the environment: a command line can be read by everybody on the machine.
local token = os.getenv("BENCH_TOKEN")
if token and token ~= "" then
  wrk.headers["Authorization"] = "Bearer " .. token
end
local secret = os.getenv("BENCH_SECRET")
if secret and secret ~= "" then
  wrk.headers["X-NeuroNova-Secret"] = secret
end
local body = os.getenv("BENCH_BODY")
if body and body ~= "" then
  wrk.method, wrk.body = "POST", body
  wrk.headers["Content-Type"] = "application/fhir+json"
end
wrk.headers["Accept"] = os.getenv("BENCH_ACCEPT")

done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\n{"p50_ms": %.4f, "p99_ms": %.4f, "per_s": %.2f, "requests": %d, "bytes": %d, "errors": %d}\n',
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    summary.requests / (summary.duration / 1e6), summary.requests, summary.bytes,
    e.connect + e.read + e.write + e.status + e.timeout))
end

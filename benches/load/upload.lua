-- Each request asks for a new picture. The size comes from the environment.
local size = os.getenv("BENCH_PICTURE_BYTES")
local run = tostring(os.time()) .. os.getenv("BENCH_ROUND")
local count = 0

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

function request()
  count = count + 1
  return wrk.format(nil, nil, nil, '{"mediaId":"' .. size .. "-" .. run .. "-" .. count .. '"}')
end

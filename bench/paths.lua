-- Asks for the paths of a file in turns, and prints what happened as JSON.
-- wrk -s paths.lua URL -- FILE

-- As containerd asks, for blobs too
local accept = "application/vnd.docker.distribution.manifest.v2+json, "
  .. "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, "
  .. "application/vnd.oci.image.index.v1+json, */*"
local requests = {}
local next_request = 0

function init(args)
  for path in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("GET", path, { Accept = accept })
  end
end

function request()
  next_request = next_request % #requests + 1
  return requests[next_request]
end

function done(summary)
  local errors = summary.errors
  print(string.format(
    'RESULT {"requests":%d,"bytes":%d,"microseconds":%d,"failed":%d}',
    summary.requests, summary.bytes, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end

import { swagger } from "@elysiajs/swagger"
import { Elysia } from "elysia"
import favicon from "swagger-ui-dist/favicon-32x32.png" with { type: "file" }
import style from "swagger-ui-dist/swagger-ui.css" with { type: "file" }
import script from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" }
import type { PortDocumentation } from "./openapi.ts"

export interface SwaggerAppOptions {
  readonly version: string
  /** Of everything else on the port. */
  readonly documentation: PortDocumentation
}

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>registry-facade API</title>
<link rel="icon" href="swagger/favicon.png">
<link rel="stylesheet" href="swagger/style.css">
</head>
<body>
<div id="api"></div>
<script src="swagger/script.js"></script>
<script>
// Names hold slashes, which the page would escape; the registry, as the specification says, takes them as they are
const requestInterceptor = (request) => Object.assign(request, { url: request.url.replace(/%2F/gi, "/") })
SwaggerUIBundle({ url: "swagger/json", dom_id: "#api", validatorUrl: null, requestInterceptor })
</script>
</body>
</html>
`

/** The page's links are relative, so that they hold behind any proxy, but not below `/swagger/`. */
const toPage = () => new Response(null, { status: 308, headers: { location: "../swagger" } })

function text(body: string, contentType: string): Response {
  const length = String(Buffer.byteLength(body))
  return new Response(body, { headers: { "content-type": contentType, "content-length": length } })
}

const asset = (path: string, contentType: string) => () => {
  const file = Bun.file(path)
  return new Response(file, {
    headers: {
      "content-type": contentType,
      "content-length": String(file.size),
      "content-disposition": "",
      "cache-control": "public, max-age=3600",
    },
  })
}

/** OpenAPI at /swagger/json and a page for people at /swagger, with everything that it needs: no other host is asked. */
export function swaggerApp({ version, documentation }: SwaggerAppOptions) {
  const { components, description, paths, title } = documentation
  return new Elysia({ name: "swagger" })
    .mapResponse(({ responseValue }) =>
      responseValue instanceof Response ? responseValue : text(JSON.stringify(responseValue), "application/json"),
    )
    .use(
      swagger({
        provider: "swagger-ui",
        path: "/swagger",
        specPath: "/swagger/json",
        documentation: { info: { title, version, description, license: { name: "Apache-2.0" } }, paths, components },
      }),
    )
    .get("/swagger", ({ request }) => (request.url.endsWith("/") ? toPage() : text(PAGE, "text/html; charset=utf-8")), {
      detail: { hide: true },
    })
    .get("/swagger/script.js", asset(script, "text/javascript; charset=utf-8"), { detail: { hide: true } })
    .get("/swagger/style.css", asset(style, "text/css; charset=utf-8"), { detail: { hide: true } })
    .get("/swagger/favicon.png", asset(favicon, "image/png"), { detail: { hide: true } })
}

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { createAuthority } from "../helpers/certificates.ts"
import { describeContainerd } from "../helpers/containerd.ts"
import { type DockerRegistry, startDockerRegistry } from "../helpers/docker-registry.ts"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, layer, type TestImage } from "../helpers/images.ts"
import { type JwtServer, startJwtServer } from "../helpers/jwt-server.ts"
import { skopeo } from "../helpers/lab.ts"
import { readLayout } from "../helpers/oci-layout.ts"
import { needs, output } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(60_000)

const CREDENTIALS = "robot:s3cret"
const KINDS = ["password", "token", "redirecting", "limiting"] as const
type Kind = (typeof KINDS)[number]

const required = needs("docker-registry", "skopeo", "openssl")
describe.skipIf(required.isMissing)(
  `the compiled facade in front of registries that ask for something${required.note}`,
  () => {
    let password: DockerRegistry
    let token: DockerRegistry
    let issuer: JwtServer
    let redirecting: UpstreamServer
    let storage: UpstreamServer
    let limiting: UpstreamServer
    let facade: RunningFacade
    const images = {} as Record<Kind, TestImage>
    let limited = 0

    beforeAll(async () => {
      for (const kind of KINDS)
        images[kind] = await image({ layers: [await layer({ [`${kind}.txt`]: kind }), await layer({ more: kind })] })
      password = await startPasswordRegistry()
      token = await startTokenRegistry()
      const references: Record<Kind, string> = {
        password: await password.push("lab/app", "1", images.password),
        token: await token.push("lab/app", "1", images.token),
        redirecting: startRedirecting(),
        limiting: startLimiting(),
      }
      const dir = tempDir()
      const auth = Buffer.from(CREDENTIALS).toString("base64")
      writeFileSync(
        join(dir, "auth.json"),
        JSON.stringify({ auths: { [password.host]: { auth }, [token.host]: { auth } } }),
      )
      const specs = Object.fromEntries(
        KINDS.map((kind) => [kind, { baseRef: references[kind], layers: [{ files: { "/added": kind } }] }]),
      )
      facade = await startFacade({
        mode: "binary",
        dir,
        specs,
        registry: { tagTTL: "0s" },
        config: { dockerAuth: "auth.json" },
      })
    })
    afterAll(async () => {
      await facade?.stop()
      await Promise.all([password?.stop(), token?.stop()])
      for (const server of [issuer, redirecting, storage, limiting]) server?.stop()
    })

    async function startPasswordRegistry(): Promise<DockerRegistry> {
      const path = join(tempDir(), "htpasswd")
      const [user, secret = ""] = CREDENTIALS.split(":")
      writeFileSync(path, `${user}:${await Bun.password.hash(secret, { algorithm: "bcrypt", cost: 4 })}\n`)
      return await startDockerRegistry({ auth: { htpasswd: { realm: "lab", path } }, credentials: CREDENTIALS })
    }

    async function startTokenRegistry(): Promise<DockerRegistry> {
      const authority = await createAuthority()
      const names = { issuer: "lab issuer", service: "lab registry" }
      issuer = startJwtServer({
        pair: await authority.issue("issuer"),
        credentials: CREDENTIALS,
        lifetimeSeconds: 300,
        ...names,
      })
      const auth = { token: { realm: issuer.realm, rootcertbundle: authority.path, ...names } }
      return await startDockerRegistry({ auth, credentials: CREDENTIALS })
    }

    function startRedirecting(): string {
      redirecting = startUpstream()
      storage = startUpstream()
      redirecting.add("lab/app", "1", images.redirecting)
      storage.add("lab/app", "1", images.redirecting)
      redirecting.roles.push((_, { pathname }) =>
        pathname.includes("/blobs/") ? Response.redirect(`${storage.url.origin}${pathname}?signature=x`, 307) : null,
      )
      return `${redirecting.host}/lab/app:1`
    }

    /** Every second request is one too many. */
    function startLimiting(): string {
      limiting = startUpstream()
      limiting.add("lab/app", "1", images.limiting)
      limiting.roles.push(() => {
        limited += 1
        return limited % 2 === 1 ? new Response(null, { status: 429, headers: { "retry-after": "1" } }) : null
      })
      return `${limiting.host}/lab/app:1`
    }

    const expectPulled = (kind: Kind, digests: readonly string[]) =>
      expect(digests.slice(0, 2)).toEqual(images[kind].layers.map(({ digest }) => digest))

    test.each([...KINDS])("%s: skopeo copies what is composed", async (kind) => {
      const dir = tempDir()
      await output(
        skopeo("copy", "--src-tls-verify=false", `docker://${facade.host}/fixed/${kind}:latest`, `oci:${dir}:1`),
      )

      expectPulled(
        kind,
        readLayout(dir).manifest.layers.map(({ digest }) => digest),
      )
    })

    describeContainerd("with containerd", (containerd) => {
      test.each([...KINDS])("%s: is pulled and unpacked", async (kind) => {
        expect(await containerd().pull(`${facade.host}/fixed/${kind}:latest`)).toMatchObject({ code: 0 })
      })
    })

    test("tokens were asked for with the credential, and each registry asked for few", () => {
      expect(issuer.asked).toContain("robot")
      expect(issuer.asked.filter((user) => user === null)).toEqual([])
    })

    test("the storage saw no credential, and the limited registry was waited for", () => {
      expect(storage.seen.length).toBeGreaterThan(0)
      expect(storage.seen.every(({ headers }) => !headers.has("authorization"))).toBe(true)
      expect(limited).toBeGreaterThan(2)
    })

    test("a wrong password is told to who pulls, with the registry and what to do", async () => {
      const dir = tempDir()
      const auth = Buffer.from("robot:wrong").toString("base64")
      writeFileSync(
        join(dir, "auth.json"),
        JSON.stringify({ auths: { [password.host]: { auth }, [token.host]: { auth } } }),
      )
      const specs = {
        password: { baseRef: `${password.host}/lab/app:1` },
        token: { baseRef: `${token.host}/lab/app:1` },
      }
      const other = await startFacade({ mode: "binary", dir, specs, config: { dockerAuth: "auth.json" } })
      const message = async (name: "password" | "token") => {
        const answer = await other.get(`/v2/fixed/${name}/manifests/latest`)
        return `${answer.status} ${((await answer.json()) as { errors: { message: string }[] }).errors[0]?.message}`
      }

      expect([await message("password"), await message("token")]).toEqual([
        `403 Cannot get manifest ${password.host}/lab/app:1: ${password.host} does not accept the user and password; check the credentials for ${password.host}/lab/app`,
        expect.stringMatching(
          new RegExp(`^403 Cannot get manifest ${token.host}/lab/app:1: .*credentials for ${token.host}`),
        ),
      ])
      await other.stop()
    })
  },
)

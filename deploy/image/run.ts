/** Runs a program. Rejects with all it said when it fails. */
export async function run(command: readonly string[], cwd?: string): Promise<void> {
  const child = Bun.spawn([...command], {
    stdio: ["ignore", "pipe", "pipe"],
    ...(cwd === undefined ? {} : { cwd }),
  })
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  if (code !== 0) throw new Error(`${command.join(" ")} failed with ${code}: ${stderr}${stdout}`)
}

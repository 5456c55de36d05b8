/** Resolves when the condition holds; rejects when it does not within the deadline. For what happens in its own time. */
export async function until(condition: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Not within ${timeoutMs} ms: ${condition}`)
    await Bun.sleep(5)
  }
}

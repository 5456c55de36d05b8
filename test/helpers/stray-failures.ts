/** Preloaded into a process: at each SIGUSR2 something fails that nobody waits for, the one way or the other. */
let count = 0
process.on("SIGUSR2", () => {
  count += 1
  const error = new Error(`stray ${count}`)
  if (count % 2 === 0) void Promise.reject(error)
  else
    setTimeout(() => {
      throw error
    })
})

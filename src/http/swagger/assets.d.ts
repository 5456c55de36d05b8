/** Imported `with { type: "file" }`: the path of the file, also inside the compiled binary. */
declare module "swagger-ui-dist/*" {
  const path: string
  // biome-ignore lint/style/noDefaultExport: it is what Bun gives such an import
  export default path
}

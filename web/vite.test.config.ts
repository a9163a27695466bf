import { defineConfig } from "vite";

// The tests of the pure functions, for `node --test`.
export default defineConfig({
  logLevel: "warn",
  publicDir: false,
  build: {
    ssr: true,
    outDir: ".cache/tests",
    emptyOutDir: true,
    target: "node20",
    rollupOptions: {
      input: ["units", "range", "chart", "findings"].map((name) => `tests/${name}.test.ts`),
      output: { entryFileNames: "[name].mjs" },
    },
  },
});

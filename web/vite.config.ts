import { defineConfig } from "vite";

// The server sends `default-src 'self'`: nothing may be inlined, not even small pictures.
export default defineConfig({
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
    rollupOptions: { input: ["index.html", "login.html"] },
  },
});

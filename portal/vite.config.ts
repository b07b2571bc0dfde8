import { defineConfig } from 'vite';

// FLAME_ROUTER: where `npm run dev` finds the services.
const router = process.env.FLAME_ROUTER ?? 'http://127.0.0.1:8080';

export default defineConfig({
  root: 'web',
  // All files but the page itself; the policy lets scripts come from here alone (platform/router, src/http/page.rs).
  base: '/portal/',
  build: { outDir: '../dist', emptyOutDir: true, target: 'es2022', chunkSizeWarningLimit: 700, modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  server: { proxy: { '/api': router, '^/~': router } },
  test: { root: 'web', environment: 'node' },
} as Parameters<typeof defineConfig>[0]);

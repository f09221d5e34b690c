// How the console is built: one page, hashed files under /assets, nothing fetched from elsewhere.
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';
import { ourLettersOnly } from './letters.ts';

const server = process.env.DISPATCH112_URL ?? 'http://127.0.0.1:8112';

export default defineConfig({
  plugins: [svelte(), ourLettersOnly()],
  // MapLibre ships its worker as a module; any other format leaves the map blank without an error.
  worker: { format: 'es' },
  build: { target: 'es2022', chunkSizeWarningLimit: 1300, assetsInlineLimit: 0 },
  server: {
    proxy: {
      '/api': server,
      '/map': server,
      '/ws': { target: server, ws: true },
    },
  },
});

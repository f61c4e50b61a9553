import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

export default defineConfig({
  plugins: [react()],
  // Relative, so that the same files serve from a node's root and from a relay's /s/ pages.
  base: './',
  build: { target: 'es2022', assetsInlineLimit: 0 },
})

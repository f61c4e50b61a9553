/** The page behind a share link. The key that opens the share stands in the fragment, which never gets here. */
import { join } from 'node:path'
import { InviteIdSchema, parse } from '@cofolder/protocol'
import type { HttpBindings } from '@hono/node-server'
import { serveStatic } from '@hono/node-server/serve-static'
import type { Hono } from 'hono'
import { secureHeaders } from 'hono/secure-headers'

const PAGE_HEADERS = secureHeaders({
  referrerPolicy: 'no-referrer',
  contentSecurityPolicy: {
    defaultSrc: ["'self'"],
    scriptSrc: ["'self'", "'wasm-unsafe-eval'"],
    // The page talks to the relay it came from and to members' devices.
    connectSrc: ["'self'", 'https:', 'wss:', 'http:', 'ws:'],
    imgSrc: ["'self'", 'blob:', 'data:'],
    mediaSrc: ["'self'", 'blob:'],
    workerSrc: ["'self'", 'blob:'],
    frameSrc: ["'self'", 'blob:'],
    objectSrc: ["'none'"],
    baseUri: ["'none'"],
    formAction: ["'none'"],
    frameAncestors: ["'none'"],
  },
})

const PLAIN_PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Cofolder</title>
<h1>Somebody shares files with you</h1>
<p>Install Cofolder, then run <code>cofolder accept</code> with the whole address of this page, including the part
after the <code>#</code>.</p>
</html>
`

/** Without a directory of the built page, links show a plain one that says what to do. */
export function addPages(app: Hono<{ Bindings: HttpBindings }>, pageDir: string | undefined): void {
  app.use('/s/*', PAGE_HEADERS)
  app.use('/s/:id', async (c, next) => {
    parse(InviteIdSchema, c.req.param('id'))
    await next()
  })
  if (pageDir === undefined) {
    app.get('/s/:id', (c) => c.html(PLAIN_PAGE))
    return
  }
  app.get('/s/:id', serveStatic({ path: join(pageDir, 'index.html') }))
  app.get('/*', PAGE_HEADERS, serveStatic({ root: pageDir }))
}

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Browser, chromium, type Page } from 'playwright-core'
import { type Daemon, startDaemon } from '../daemon.ts'
import { scratch, until, untilEqualFolders } from '../folders.ts'

const launch = (): Promise<Browser> =>
  chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
    ],
  })

/** The address that `cofolder up` printed, token included. */
function address(daemon: Daemon): string {
  const found = /http:\/\/127\.0\.0\.1:\d+\/#token=[\w-]+/.exec(daemon.output())?.[0]
  assert.ok(found, daemon.output())
  return found
}

async function open(browser: Browser, daemon: Daemon, problems: string[]): Promise<Page> {
  const page = await browser.newPage()
  page.on('pageerror', (error) => problems.push(String(error)))
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(message.text())
  })
  await page.goto(address(daemon))
  return page
}

test('two people share a folder from their pages', async () => {
  await using place = await scratch()
  const at = (...parts: string[]): string => join(place.path, ...parts)
  await mkdir(at('Photos'))
  await writeFile(at('Photos', 'one.txt'), 'one')
  await using alice = await startDaemon({ home: at('alice'), name: 'Alice' })
  await using bob = await startDaemon({ home: at('bob'), name: 'Bob' })
  const browser = await launch()
  try {
    const problems: string[] = []
    const hers = await open(browser, alice, problems)
    const his = await open(browser, bob, problems)
    assert.equal(new URL(hers.url()).hash, '', 'the token does not stay in the address')

    const { card } = await bob.json<{ card: string }>('card')
    const form = hers.getByRole('region', { name: 'Share a folder' })
    await form.getByLabel('Folder on this device').fill(at('Photos'))
    await form.getByLabel('With (contact or card)').fill(card)
    await form.getByRole('button', { name: 'Share' }).click()
    await form.getByText('Shared. Send this link').waitFor()

    const invites = his.getByRole('region', { name: 'Shared with you' })
    await invites.getByText('Alice shares this with you').waitFor()
    await invites.getByLabel('Keep it in this folder').fill(at('From Alice'))
    await invites.getByRole('button', { name: 'Accept', exact: true }).click()
    await his.getByRole('region', { name: 'Shares' }).getByText('In sync').waitFor()
    await untilEqualFolders(30_000, at('Photos'), at('From Alice'))

    await hers.getByRole('region', { name: 'Activity' }).getByText('accepted').waitFor()
    await writeFile(at('From Alice', 'two.txt'), 'two')
    await until('it arrives', () => existsSync(at('Photos', 'two.txt')))
    await hers.getByRole('region', { name: 'Activity' }).getByText('two.txt').waitFor()
    if (process.env.SCREENSHOTS !== undefined) {
      await hers.screenshot({ path: join(process.env.SCREENSHOTS, 'desktop.png'), fullPage: true })
      await hers.emulateMedia({ colorScheme: 'dark' })
      await hers.setViewportSize({ width: 390, height: 844 })
      await hers.screenshot({ path: join(process.env.SCREENSHOTS, 'phone-dark.png'), fullPage: true })
    }
    assert.deepEqual(problems, [])
  } finally {
    await browser.close()
  }
})

test('the page without its token shows nothing, and the API answers nobody else', async () => {
  await using place = await scratch()
  await using alice = await startDaemon({ home: join(place.path, 'alice'), name: 'Alice' })
  const base = new URL(address(alice)).origin
  const browser = await launch()
  try {
    const page = await browser.newPage()
    await page.goto(base)
    await page.getByText('it holds the key to this page').waitFor()
  } finally {
    await browser.close()
  }
  const { token } = /#token=(?<token>.+)$/m.exec(address(alice))?.groups ?? {}
  const status = (headers: Record<string, string>): Promise<number> =>
    fetch(`${base}/api/v1/status`, { headers }).then((response) => response.status)
  assert.equal(await status({}), 401)
  assert.equal(await status({ Authorization: 'Bearer wrong' }), 401)
  assert.equal(await status({ Authorization: `Bearer ${token}`, Origin: 'https://evil.example' }), 403)
  assert.equal(await status({ Authorization: `Bearer ${token}` }), 200)
  const { request } = await import('node:http')
  const rebound = await new Promise<number>((resolve, reject) => {
    request(
      `${base}/api/v1/status`,
      { headers: { Authorization: `Bearer ${token}`, Host: 'evil.example' } },
      (response) => {
        response.resume()
        resolve(response.statusCode ?? 0)
      },
    )
      .on('error', reject)
      .end()
  })
  assert.equal(rebound, 403)
})

import { useCallback, useEffect, useState } from 'react'
import { Activity } from './activity.tsx'
import { api, type CofolderEvent, follow, type Invite, type Share, type Status, takeToken } from './api.ts'
import { Card } from './card.tsx'
import { Invites } from './invites.tsx'
import { ShareFolder } from './share-folder.tsx'
import { Shares } from './shares.tsx'

interface View {
  status: Status
  shares: Share[]
  invites: Invite[]
  events: CofolderEvent[]
}

const REFRESH_MS = 2_000

async function load(): Promise<View> {
  const [status, shares, invites, events] = await Promise.all([
    api.status(),
    api.shares(),
    api.invites(),
    api.events(),
  ])
  return { status, shares, invites, events }
}

export function App() {
  const [view, setView] = useState<View>()
  const [problem, setProblem] = useState<string>()

  const refresh = useCallback(() => {
    load().then(
      (loaded) => {
        setView(loaded)
        setProblem(undefined)
      },
      (error: unknown) => setProblem(error instanceof Error ? error.message : String(error)),
    )
  }, [])

  useEffect(() => {
    refresh()
    const stop = new AbortController()
    void follow(refresh, stop.signal)
    // States such as progress change without an event.
    const timer = setInterval(refresh, REFRESH_MS)
    return () => {
      stop.abort()
      clearInterval(timer)
    }
  }, [refresh])

  if (takeToken() === undefined) {
    return (
      <Message>
        Open the address that <code>cofolder up</code> printed: it holds the key to this page.
      </Message>
    )
  }
  if (!view) return <Message>{problem ?? 'Connecting to Cofolder …'}</Message>
  return (
    <div className="page">
      <header className="top">
        <img src="./icon.svg" alt="" />
        <h1>Cofolder</h1>
        <span className="who">
          <bdi>{view.status.user.name}</bdi>
        </span>
      </header>
      <main className="main">
        {problem !== undefined && (
          <p className="problem" role="status">
            Cofolder does not answer. Start it again with <code>cofolder up</code>.
          </p>
        )}
        <Invites invites={view.invites} onDone={refresh} />
        <Shares shares={view.shares} states={view.status.shares} onDone={refresh} />
        <ShareFolder onDone={refresh} />
      </main>
      <aside className="side">
        <Activity events={view.events} shares={view.shares} />
        <Card />
      </aside>
    </div>
  )
}

function Message({ children }: { children: React.ReactNode }) {
  return (
    <div className="page">
      <header className="top">
        <img src="./icon.svg" alt="" />
        <h1>Cofolder</h1>
      </header>
      <main className="main">
        <p role="status">{children}</p>
      </main>
    </div>
  )
}

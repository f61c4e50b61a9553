import { useState } from 'react'
import { Action } from './action.tsx'
import { api, type Invite } from './api.ts'
import { ago, roles } from './words.ts'

/** What others offer: accept into a folder, or decline. Also takes a link that somebody sent. */
export function Invites({ invites, onDone }: { invites: Invite[]; onDone: () => void }) {
  const [link, setLink] = useState('')
  const [to, setTo] = useState('')
  return (
    <section aria-labelledby="invites">
      <h2 id="invites">Shared with you</h2>
      {invites.length > 0 && (
        <ul className="rows">
          {invites.map((invite) => (
            <Offer key={invite.id} invite={invite} onDone={onDone} />
          ))}
        </ul>
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault()
        }}
      >
        <div className="fields">
          <label>
            A link somebody sent you
            <input
              value={link}
              onChange={(event) => setLink(event.target.value)}
              placeholder="http://…/s/…#…"
            />
          </label>
          <label>
            Folder on this device
            <input
              value={to}
              onChange={(event) => setTo(event.target.value)}
              placeholder="/home/me/From a friend"
            />
          </label>
        </div>
        <div className="actions">
          <Action
            run={() => api.accept(link, to)}
            onDone={() => {
              setLink('')
              setTo('')
              onDone()
            }}
          >
            Accept the link
          </Action>
        </div>
      </form>
    </section>
  )
}

function Offer({ invite, onDone }: { invite: Invite; onDone: () => void }) {
  const [to, setTo] = useState('')
  return (
    <li>
      <h3>
        <bdi>{invite.name}</bdi>
      </h3>
      <p>
        <bdi>{invite.from.name}</bdi> shares this with you; you {roles[invite.role]}.{' '}
        <time
          className="quiet"
          dateTime={new Date(invite.at).toISOString()}
          title={new Date(invite.at).toLocaleString()}
        >
          {ago(invite.at)}
        </time>
      </p>
      <label>
        Keep it in this folder
        <input value={to} onChange={(event) => setTo(event.target.value)} placeholder="/home/me/…" />
      </label>
      <div className="actions">
        <Action main run={() => api.accept(invite.id, to)} onDone={onDone}>
          Accept
        </Action>
        <Action run={() => api.decline(invite.id)} onDone={onDone}>
          Decline
        </Action>
      </div>
    </li>
  )
}

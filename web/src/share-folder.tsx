import { useState } from 'react'
import { Action } from './action.tsx'
import { api } from './api.ts'

/** Shares a folder of this device, with somebody by card or name, or with whoever gets the link. */
export function ShareFolder({ onDone }: { onDone: () => void }) {
  const [path, setPath] = useState('')
  const [person, setPerson] = useState('')
  const [role, setRole] = useState('editor')
  const [link, setLink] = useState<string>()
  return (
    <section aria-labelledby="share">
      <h2 id="share">Share a folder</h2>
      <form onSubmit={(event) => event.preventDefault()}>
        <div className="fields">
          <label>
            Folder on this device
            <input
              value={path}
              onChange={(event) => setPath(event.target.value)}
              placeholder="/home/me/Photos"
            />
          </label>
          <label>
            With (contact or card)
            <input
              value={person}
              onChange={(event) => setPerson(event.target.value)}
              placeholder="cofolder:card:…"
            />
          </label>
          <label>
            They
            <select value={role} onChange={(event) => setRole(event.target.value)}>
              <option value="editor">can edit</option>
              <option value="viewer">can view</option>
            </select>
          </label>
        </div>
        <div className="actions">
          <Action
            main
            run={async () => {
              const shared = await api.share({ path, with: person === '' ? [] : [person], role })
              setLink(shared.link)
              setPath('')
              setPerson('')
            }}
            onDone={onDone}
          >
            Share
          </Action>
        </div>
      </form>
      {link !== undefined && (
        <label>
          <span className="done" role="status">
            Shared. Send this link to whoever should have it:
          </span>
          <input readOnly value={link} onFocus={(event) => event.target.select()} />
        </label>
      )}
    </section>
  )
}

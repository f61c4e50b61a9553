import { CircleAlert, CircleCheck, Clock, RefreshCw } from 'lucide-react'
import { useState } from 'react'
import { Action } from './action.tsx'
import { api, type Share, type ShareStatus } from './api.ts'
import { ago, bytes, files, roles, state } from './words.ts'

const ICONS = { 'in-sync': CircleCheck, syncing: RefreshCw, waiting: Clock, error: CircleAlert }

/** Every share with its state, its people and what can be done. */
export function Shares(props: { shares: Share[]; states: ShareStatus[]; onDone: () => void }) {
  return (
    <section aria-labelledby="shares">
      <h2 id="shares">Shares</h2>
      {props.shares.length === 0 && (
        <p className="quiet">Folders that you share, and folders that others share with you, appear here.</p>
      )}
      <ul className="rows">
        {props.shares.map((share) => (
          <Row
            key={share.id}
            share={share}
            status={props.states.find((status) => status.id === share.id)}
            onDone={props.onDone}
          />
        ))}
      </ul>
    </section>
  )
}

function Row({
  share,
  status,
  onDone,
}: {
  share: Share
  status: ShareStatus | undefined
  onDone: () => void
}) {
  const [link, setLink] = useState<string>()
  const others = share.members.filter((member) => member.status === 'active')
  return (
    <li>
      <div className="head">
        <h3>
          <bdi>{share.name}</bdi>
        </h3>
        {status && <State status={status} />}
      </div>
      <p className="quiet small">
        {share.path !== undefined && <bdi>{share.path}</bdi>}
        {status && ` · ${files(status.filesTotal)}, ${bytes(status.bytesTotal)}`}
      </p>
      {status?.error !== undefined && (
        <p className="problem" role="status">
          {status.error}
          {status.notSyncingSince !== undefined && ` Not syncing since ${ago(status.notSyncingSince)}.`}
        </p>
      )}
      <ul className="chips" aria-label="Members">
        {others.map((member) => (
          <li key={member.id}>
            <bdi>{member.name}</bdi> <span className="quiet">{roles[member.role]}</span>
          </li>
        ))}
      </ul>
      <div className="actions">
        {status?.needsConfirmation && (
          <Action
            main
            run={() => api.confirm(share.id)}
            onDone={onDone}
            question={`Delete ${files(status.needsConfirmation.deletes)} for everybody in this share? They can be restored from the history.`}
          >
            Delete {files(status.needsConfirmation.deletes)} for everybody
          </Action>
        )}
        {share.role === 'owner' ? (
          <>
            <Action run={async () => setLink((await api.link(share.id)).link)}>Show link</Action>
            <Action
              run={() => api.unshare(share.id)}
              onDone={onDone}
              question="Stop sharing with everybody? Each keeps the files he has; changes no longer travel."
            >
              Stop sharing
            </Action>
          </>
        ) : (
          <Action
            run={() => api.leave(share.id)}
            onDone={onDone}
            question="Leave this share? Your files stay; changes no longer travel."
          >
            Leave
          </Action>
        )}
      </div>
      {link !== undefined && (
        <label>
          Anyone with this link can join
          <input readOnly value={link} onFocus={(event) => event.target.select()} />
        </label>
      )}
    </li>
  )
}

function State({ status }: { status: ShareStatus }) {
  const Icon = ICONS[status.state]
  return (
    <span className="state" data-state={status.state} role="status">
      <Icon size={16} aria-hidden="true" />
      {state(status)}
    </span>
  )
}
